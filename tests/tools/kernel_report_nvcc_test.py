"""Whether tools/lib/cubin.py reads what this nvcc writes: kernels whose accesses are known, and ptxas' own report."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import tools_path  # noqa: F401
import cubin

SOURCE = r"""
extern "C" {
__global__ void bytes(const unsigned char* a, unsigned char* b) { b[threadIdx.x] = a[threadIdx.x]; }
__global__ void shorts(const short* a, short* b) { b[threadIdx.x] = a[threadIdx.x]; }
__global__ void words(const float* a, float* b) { b[threadIdx.x] = a[threadIdx.x]; }
__global__ void pairs(const float2* a, float2* b) { b[threadIdx.x] = a[threadIdx.x]; }
__global__ void __launch_bounds__(128) quads(const float4* a, float4* b) { b[threadIdx.x] = a[threadIdx.x]; }
__global__ void __launch_bounds__(64) exchange(const float4* a, float2* b) {
  __shared__ float4 tile[64];
  tile[threadIdx.x] = a[threadIdx.x];
  __syncthreads();
  b[threadIdx.x] = reinterpret_cast<const float2*>(tile)[threadIdx.x ^ 1];
}
__global__ void indexed(const int* a, float* b) {
  float on_stack[32];
  for (int i = 0; i < 32; ++i) on_stack[i] = b[i];
  for (int i = 0; i < 32; ++i) on_stack[a[i] & 31] += 1.0f;
  for (int i = 0; i < 32; ++i) b[a[i] & 31] = on_stack[a[i + 32] & 31];
}
}
"""


def compile_for(architecture: str, folder: pathlib.Path) -> tuple[dict, str]:
    source, out = folder / "known.cu", folder / f"{architecture}.cubin"
    source.write_text(SOURCE)
    host = os.environ.get("HOURGLASS_CXX")
    done = subprocess.run([os.environ["HOURGLASS_NVCC"], *(["-ccbin", host] if host else []), "-Xptxas", "-v", "-cubin",
                           f"-arch={architecture}", str(source), "-o", str(out)], text=True, capture_output=True)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return {kernel.name: kernel for kernel in cubin.read(out)}, done.stderr


class KnownKernels(unittest.TestCase):
    def test_every_architecture(self):
        listed = subprocess.run([os.environ["HOURGLASS_NVCC"], "--list-gpu-code"], text=True, capture_output=True).stdout
        for architecture in ("sm_75", "sm_80", "sm_90", "sm_100", "sm_120"):
            if architecture not in listed.split():
                continue
            with self.subTest(architecture), tempfile.TemporaryDirectory() as folder:
                kernels, said = compile_for(architecture, pathlib.Path(folder))
                for name, bits in (("bytes", 8), ("shorts", 16), ("words", 32), ("pairs", 64), ("quads", 128)):
                    self.assertEqual(dict(kernels[name].accesses), {("load", bits): 1, ("store", bits): 1}, name)
                    self.assertEqual((kernels[name].stack, kernels[name].local, kernels[name].shared), (0, 0, 0), name)
                exchange = kernels["exchange"]
                self.assertEqual(dict(exchange.accesses), {("load", 128): 1, ("shared_store", 128): 1,
                                                           ("shared_load", 64): 1, ("store", 64): 1})
                self.assertEqual((exchange.shared, exchange.threads, kernels["quads"].threads), (1024, 64, 128))
                self.assertEqual(kernels["indexed"].stack, 128)
                self.assertGreater(kernels["indexed"].local, 0)
                # What ptxas says of itself.
                for name, stack, registers, shared in re.findall(
                        r"entry function '(\w+)'.*?(\d+) bytes stack frame.*?Used (\d+) registers(?:[^\n]*?(\d+) bytes smem)?",
                        said, re.DOTALL):
                    kernel = kernels.pop(name)
                    self.assertEqual((kernel.stack, kernel.registers, kernel.shared),
                                     (int(stack), int(registers), int(shared or 0)), name)
                    self.assertEqual(kernel.architecture, int(architecture[3:]))
                self.assertEqual(kernels, {})


if __name__ == "__main__":
    if "HOURGLASS_NVCC" not in os.environ:
        print("kernel_report_nvcc: Skipped\nthere is no nvcc that works: HOURGLASS_NVCC is not set")
        sys.exit(77)
    unittest.main()
