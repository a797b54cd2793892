// SPDX-License-Identifier: Apache-2.0

/** What the first bytes of a program say. */
export type ProgramHead =
  | { readonly kind: "elf"; readonly machine: string }
  | { readonly kind: "script"; readonly interpreter: string }
  | { readonly kind: "unknown" };

/** Source: elf(5), e_machine; names as `uname -m` and Node.js's `process.arch` have them */
const machines: ReadonlyMap<number, string> = new Map([
  [3, "x86"],
  [40, "arm"],
  [62, "x86-64"],
  [183, "arm64"],
  [243, "riscv64"],
  [21, "ppc64"],
  [22, "s390x"],
]);

/** Node.js's names of architectures, as this file names them. */
const ownNames: Readonly<Record<string, string>> = { x64: "x86-64", ia32: "x86" };

/** @param head at least 20 bytes, if the file has so many */
export function parseProgramHead(head: Buffer): ProgramHead {
  if (head.length >= 20 && head.readUInt32BE(0) === 0x7f454c46) {
    const isLittleEndian = head[5] === 1;
    const machine = isLittleEndian ? head.readUInt16LE(18) : head.readUInt16BE(18);
    return { kind: "elf", machine: machines.get(machine) ?? `machine ${String(machine)}` };
  }
  const line = /^#!\s*(\S+)/.exec(head.toString("latin1"))?.[1];
  return line === undefined ? { kind: "unknown" } : { kind: "script", interpreter: line };
}

/** The architecture of this machine, in the same words. */
export function ownMachine(arch: string = process.arch): string {
  return ownNames[arch] ?? arch;
}
