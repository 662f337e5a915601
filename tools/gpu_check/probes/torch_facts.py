"""Print PyTorch's facts of itself and of the GPU."""

import json

import torch

facts = {
    "torch": torch.__version__,
    "torch_cuda": torch.version.cuda,
    "torch_cudnn": torch.backends.cudnn.version(),
    "torch_architectures": torch.cuda.get_arch_list(),
}
if torch.cuda.is_available():
    facts["gpus"] = [
        {"name": torch.cuda.get_device_name(number), "capability": torch.cuda.get_device_capability(number)}
        for number in range(torch.cuda.device_count())
    ]
print(json.dumps(facts))
