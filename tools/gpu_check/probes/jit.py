"""Let the driver compile PTX and run it; print the seconds, and whether the result is right."""

import ctypes
import json
import time

KERNELS, STEPS = 15, 1500
HEAD = ".version 7.5\n.target sm_75\n.address_size 64\n"
BODY = """.visible .entry k{number}(.param .u64 p) {{
.reg .f32 %f<3>; .reg .b64 %rd<3>;
ld.param.u64 %rd1, [p]; cvta.to.global.u64 %rd2, %rd1;
ld.global.f32 %f1, [%rd2];
{steps}
st.global.f32 [%rd2], %f1; ret; }}
"""
# Each step adds 1 and subtracts it; the square root prevents constant folding.
STEP = (
    "add.f32 %f1, %f1, 0f3F800000; sqrt.approx.f32 %f2, %f1; "
    "mul.f32 %f1, %f2, %f2; sub.f32 %f1, %f1, 0f3F800000;"
)

cuda = ctypes.CDLL("libcuda.so.1")


def call(name: str, *arguments: object) -> None:
    """Call a function of the driver. Raises RuntimeError with its error code."""
    if code := getattr(cuda, name)(*arguments):
        raise RuntimeError(f"{name}: error {code}")


def main() -> None:
    """Compile, run the first kernel on one number, and compare."""
    ptx = HEAD + "".join(BODY.format(number=n, steps="\n".join([STEP] * STEPS)) for n in range(KERNELS))
    device, context, module, kernel = (ctypes.c_int(), *(ctypes.c_void_p() for _ in range(3)))
    memory, number = ctypes.c_uint64(), ctypes.c_float(41)
    call("cuInit", 0)
    call("cuDeviceGet", ctypes.byref(device), 0)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxSetCurrent", context)
    begin = time.perf_counter()
    call("cuModuleLoadData", ctypes.byref(module), ptx.encode() + b"\0")
    call("cuModuleGetFunction", ctypes.byref(kernel), module, b"k0")
    seconds = time.perf_counter() - begin
    call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(4))
    call("cuMemcpyHtoD_v2", memory, ctypes.byref(number), ctypes.c_size_t(4))
    parameters = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.byref(memory), ctypes.c_void_p))
    call("cuLaunchKernel", kernel, 1, 1, 1, 1, 1, 1, 0, None, parameters, None)
    call("cuCtxSynchronize")
    call("cuMemcpyDtoH_v2", ctypes.byref(number), memory, ctypes.c_size_t(4))
    print(json.dumps({"seconds": seconds, "right": abs(number.value - 41) < 0.5}))


main()
