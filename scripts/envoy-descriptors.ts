// SPDX-License-Identifier: Apache-2.0
// Reads the descriptors of the API that an Envoy binary carries.
import { fromBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

/** Messages and enums by their full names. */
export interface EnvoyDescriptors {
  readonly messages: ReadonlyMap<string, DescriptorProto>;
  readonly enums: ReadonlyMap<string, EnumDescriptorProto>;
}

/**
 * Finds every file descriptor in a binary. C++ code that protoc generates holds each one serialised, in the order of its
 * fields, with the file's name first.
 * Source: google/protobuf/descriptor.proto; observed with Envoy 1.40
 */
export function readEnvoyDescriptors(binary: Buffer): EnvoyDescriptors {
  const messages = new Map<string, DescriptorProto>();
  const enums = new Map<string, EnumDescriptorProto>();
  const add = (scope: string, message: DescriptorProto): void => {
    const name = `${scope}.${message.name}`;
    messages.set(name, message);
    for (const inner of message.nestedType) add(name, inner);
    for (const inner of message.enumType) enums.set(`${name}.${inner.name}`, inner);
  };
  for (const file of fileDescriptors(binary)) {
    for (const message of file.messageType) add(file.package, message);
    for (const item of file.enumType) enums.set(`${file.package}.${item.name}`, item);
  }
  return { messages, enums };
}

const suffix = Buffer.from(".proto");
const longestName = 127;
/** The tag of a file's name, the first field. */
const nameTag = 0x0a;

function* fileDescriptors(binary: Buffer): Iterable<FileDescriptorProto> {
  for (let at = binary.indexOf(suffix); at >= 0; at = binary.indexOf(suffix, at + 1)) {
    const nameEnd = at + suffix.length;
    const start = startOfName(binary, nameEnd);
    const file = start === undefined ? undefined : tryParse(binary.subarray(start, endOfMessage(binary, start)));
    if (file !== undefined && file.name === binary.toString("latin1", (start ?? 0) + 2, nameEnd)) yield file;
  }
}

function startOfName(binary: Buffer, nameEnd: number): number | undefined {
  for (let length = suffix.length + 1; length <= longestName; length++) {
    const start = nameEnd - length - 2;
    if (start >= 0 && binary[start] === nameTag && binary[start + 1] === length) return start;
  }
  return undefined;
}

/** The end of the longest run of fields whose numbers a file descriptor has, each at its place in the order. */
function endOfMessage(binary: Buffer, start: number): number {
  let last = 0;
  for (let end = start; ; ) {
    const [tag, afterTag] = varint(binary, end);
    const [field, wireType] = [Math.floor(tag / 8), tag % 8];
    const isNext = field >= Math.max(last, 1) && field <= 14 && !(field === 1 && last === 1);
    if (!isNext || (wireType !== 0 && wireType !== 2)) return end;
    const [value, afterValue] = varint(binary, afterTag);
    const next = wireType === 2 ? afterValue + value : afterValue;
    if (Number.isNaN(next) || next > binary.length) return end;
    last = field;
    end = next;
  }
}

/** @returns the value, and the offset after it; NaN when it is none */
function varint(binary: Buffer, start: number): readonly [number, number] {
  let value = 0;
  for (let index = 0; index < 10; index++) {
    const byte = binary[start + index];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return [value, start + index + 1];
  }
  return [Number.NaN, Number.NaN];
}

function tryParse(bytes: Uint8Array): FileDescriptorProto | undefined {
  try {
    return fromBinary(FileDescriptorProtoSchema, bytes);
  } catch {
    return undefined;
  }
}
