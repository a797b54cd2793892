// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Machine } from "../../src/config/interception/machine.ts";
import { type ParsedInterception, parseInterception } from "../../src/config/interception/parse-interception.ts";
import { interceptionFlags } from "../../src/config/interception/settings.ts";
import { parseFlags } from "../../src/lib/flags.ts";

const directory = join(import.meta.dirname, "../data/interception");

/** One set of options with what the reference made of it. test/data/interception/README.md has the sections. */
export interface RecordedCase {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** With length. */
  readonly addresses: readonly string[];
  readonly resolvConf: string;
  readonly exitCodes: { readonly iptables: number; readonly nftables: number };
  readonly section: (name: string) => readonly string[];
}

export const recordedCases: readonly RecordedCase[] = readdirSync(directory)
  .filter((file) => file.endsWith(".txt"))
  .sort()
  .map(readCase);

export function recordedCase(number: string): RecordedCase {
  const found = recordedCases.find(({ name }) => name.startsWith(`${number}-`));
  if (found === undefined) throw new Error(`no recorded case ${number}`);
  return found;
}

function readCase(file: string): RecordedCase {
  const [head = "", ...sections] = readFileSync(join(directory, file), "utf8").split(/^== /m);
  const fields = new Map(head.split("\n").map((line): [string, string] => splitAt(line, ": ")));
  const texts = new Map(sections.map((section): [string, string] => splitAt(section, "\n")));
  const field = (name: string): unknown => JSON.parse(fields.get(name) ?? "null");
  return {
    name: file.replace(/\.txt$/, ""),
    args: field("arguments") as string[],
    env: field("environment") as Record<string, string>,
    addresses: field("addresses") as string[],
    resolvConf: (field("resolv.conf") as string[]).join("\n"),
    exitCodes: field("exit codes") as RecordedCase["exitCodes"],
    section: (name) => (texts.get(name) ?? "").split("\n").filter((line) => line !== ""),
  };
}

function splitAt(text: string, separator: string): [string, string] {
  const end = text.indexOf(separator);
  return [text.slice(0, end), text.slice(end + separator.length)];
}

/** The machine of a case: the users and groups of a small image. */
export function machineOf(recorded: Pick<RecordedCase, "addresses" | "resolvConf">): Machine {
  return {
    addresses: () => [
      "127.0.0.1",
      "::1",
      "fe80::1",
      ...recorded.addresses.map((address) => address.split("/")[0] ?? ""),
    ],
    resolvConf: () => recorded.resolvConf,
    users: () => "root:x:0:0:root:/root:/bin/sh\nenvoy:x:1400:1401::/:/bin/false\n",
    groups: () => "root:x:0:\ndevelopers:x:202:\n",
  };
}

/** The options of a command line, as the command parses them. @throws ConfigError */
export function parseOptions(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  machine: Machine = machineOf({ addresses: ["10.0.0.5/24"], resolvConf: "nameserver 10.96.0.10" }),
): ParsedInterception {
  const flags = parseFlags(args, interceptionFlags);
  if (flags.unknown.length > 0) throw new Error(JSON.stringify(flags.unknown));
  return parseInterception(flags, env, machine);
}
