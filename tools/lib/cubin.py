"""Reads what ptxas made of each kernel straight from a cubin, the ELF file that `nvcc -cubin` writes: registers, shared
memory, stack, and the memory instructions by their width. No cuobjdump and no nvdisasm are needed.

Instructions of sm_70 to sm_120 are 128 bits: bits 0-8 name the operation (9-11 the form of its operands), and of a load
or store bits 73-75 are the width. The codes below were found by compiling kernels whose accesses are known; the test of
tools/kernel-report does that again with the nvcc at hand."""

import collections
import dataclasses
import pathlib
import struct
import subprocess

EM_CUDA = 190

# Attributes of .nv.info sections: a byte of format, a byte of attribute, a 16-bit size, the value. Format 4 has a value
# of that many bytes; the others keep it in the size.
SIZED_VALUE = 4
MAX_THREADS = 0x05  # x, y, z; in the kernel's own section
FRAME_SIZE = 0x11  # the next three: index of a symbol, value; in the section of all kernels
MIN_STACK_SIZE = 0x12
REGISTER_COUNT = 0x2F

# load: LD is a load by a generic address, whose space the compiler could not tell.
ACCESSES = {
    0x180: "generic_load", 0x185: "generic_store",
    0x181: "load", 0x186: "store",
    0x184: "shared_load", 0x188: "shared_store",
    0x183: "local_load", 0x187: "local_store",
}
WIDTHS = {0: 8, 1: 8, 2: 16, 3: 16, 4: 32, 5: 64, 6: 128}
INSTRUCTION_BYTES = 16

# From sm_90 on the system keeps the first bytes of each block's shared memory, and .nv.shared sections include them.
RESERVED_SHARED = 1024


class BadCubin(Exception):
    """The file is no cubin, or is cut short."""


@dataclasses.dataclass
class Kernel:
    name: str  # mangled
    architecture: int  # 90 is sm_90
    registers: int = 0  # a thread
    shared: int = 0  # static, bytes a block
    stack: int = 0  # bytes a thread
    threads: int = 0  # of a block, by __launch_bounds__; 0 where there are none
    code: int = 0  # bytes
    accesses: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # of (kind, bits)

    def count(self, kind: str, bits: int | None = None) -> int:
        return sum(n for (k, b), n in self.accesses.items() if k == kind and bits in (None, b))

    def widest(self, kind: str) -> int:
        """In bits; 0 where there is no such access."""
        return max((b for k, b in self.accesses if k == kind), default=0)

    @property
    def local(self) -> int:
        """Accesses to local memory: registers that were spilled, and arrays that cannot lie in registers."""
        return self.count("local_load") + self.count("local_store")


def read(path: pathlib.Path) -> list[Kernel]:
    content = path.read_bytes()
    try:
        return _Elf(content).kernels()
    except (struct.error, IndexError, ValueError, UnicodeDecodeError) as error:
        raise BadCubin(f"{path}: not a whole cubin: {error}") from error


class _Elf:
    def __init__(self, content: bytes):
        self.content = content
        if content[:6] != b"\x7fELF\x02\x01":
            raise ValueError("expected a 64-bit little-endian ELF file")
        machine, = struct.unpack_from("<H", content, 18)
        if machine != EM_CUDA:
            raise ValueError(f"its machine is {machine}, expected {EM_CUDA} (CUDA)")
        section_offset, flags = struct.unpack_from("<QI", content, 40)
        entry_size, count, names_index = struct.unpack_from("<HHH", content, 58)
        # Up to CUDA 12 the architecture is bits 0-7 of the flags, since CUDA 13 bits 8-15.
        self.architecture = flags & 0xFF if content[8] < 8 else flags >> 8 & 0xFF
        headers = [struct.unpack_from("<IIQQQQIIQQ", content, section_offset + i * entry_size) for i in range(count)]
        names = headers[names_index][4]
        self.sections = {}
        for name, kind, _, _, offset, size, _, _, _, entry in headers:
            has_bytes = kind != 8  # SHT_NOBITS
            if has_bytes and offset + size > len(content):
                raise ValueError(f"a section ends at byte {offset + size} of {len(content)}")
            self.sections[self.string(names + name)] = (offset, size, entry)

    def string(self, offset: int) -> str:
        return self.content[offset:self.content.index(b"\0", offset)].decode()

    def symbols(self) -> list[str]:
        offset, size, entry = self.sections[".symtab"]
        strings = self.sections[".strtab"][0]
        return [self.string(strings + struct.unpack_from("<I", self.content, at)[0])
                for at in range(offset, offset + size, entry)]

    def attributes(self, section: str):
        """(attribute, value) of each attribute whose value has a size of its own."""
        if section not in self.sections:
            return
        at, size, _ = self.sections[section]
        end = at + size
        while at < end:
            form, attribute, length = struct.unpack_from("<BBH", self.content, at)
            at += 4
            if form != SIZED_VALUE:
                continue
            yield attribute, self.content[at:at + length]
            at += length

    def kernels(self) -> list[Kernel]:
        text = ".text."
        found = {}
        for section, (offset, size, _) in self.sections.items():
            if not section.startswith(text):
                continue
            kernel = Kernel(section.removeprefix(text), self.architecture, code=size)
            self.read_code(kernel, offset, size)
            if (shared := self.sections.get(f".nv.shared.{kernel.name}")) is not None:
                kernel.shared = shared[1] - (RESERVED_SHARED if self.architecture >= 90 else 0)
            for attribute, value in self.attributes(f".nv.info.{kernel.name}"):
                if attribute == MAX_THREADS:
                    x, y, z = struct.unpack("<III", value)
                    kernel.threads = x * y * z
            found[kernel.name] = kernel
        symbols = self.symbols()
        for attribute, value in self.attributes(".nv.info"):
            if attribute not in (REGISTER_COUNT, FRAME_SIZE, MIN_STACK_SIZE):
                continue
            symbol, number = struct.unpack("<II", value)
            kernel = found.get(symbols[symbol])
            if kernel is None:  # a routine within a kernel's code, such as that of division
                continue
            if attribute == REGISTER_COUNT:
                kernel.registers = number
            else:
                kernel.stack = max(kernel.stack, number)
        if any(kernel.registers == 0 for kernel in found.values()):
            raise ValueError("a kernel without a register count")
        return list(found.values())

    def read_code(self, kernel: Kernel, offset: int, size: int) -> None:
        for at in range(offset, offset + size, INSTRUCTION_BYTES):
            low, high = struct.unpack_from("<QQ", self.content, at)
            if (kind := ACCESSES.get(low & 0x1FF)) is not None:
                kernel.accesses[kind, WIDTHS.get(high >> 9 & 7, 0)] += 1


def demangle(names: list[str]) -> list[str]:
    """By c++filt, which comes with every g++."""
    done = subprocess.run(["c++filt"], input="\n".join(names), text=True, capture_output=True, check=True)
    return done.stdout.splitlines()
