# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a monitor asks of NVML by pynvml, which is in the same folder"""

import pynvml

pynvml.nvmlInit()
print('driver', pynvml.nvmlSystemGetDriverVersion(), 'CUDA', pynvml.nvmlSystemGetCudaDriverVersion())
print('devices', pynvml.nvmlDeviceGetCount())
device = pynvml.nvmlDeviceGetHandleByIndex(0)
for what in ('Name', 'MemoryInfo', 'UtilizationRates', 'PciInfo', 'CudaComputeCapability', 'PowerUsage', 'ComputeMode',
             'PersistenceMode', 'PerformanceState', 'Architecture', 'NumGpuCores', 'MemoryBusWidth'):
    try:
        answer = str(getattr(pynvml, 'nvmlDeviceGet' + what)(device))
    except pynvml.NVMLError as e:
        answer = f'NVML says: {e}'
    print(what, answer.replace('\n', ' '))
for row in pynvml.nvmlDeviceGetComputeRunningProcesses(device):
    assert row.pid > 0
pynvml.nvmlShutdown()
