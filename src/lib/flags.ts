// SPDX-License-Identifier: Apache-2.0
import { suggestion } from "./nearest-name.ts";

/** `strings` may be repeated; the first value replaces the default. */
export type FlagType = "string" | "bool" | "int" | "strings";

export interface FlagSpec {
  readonly type: FlagType;
  /** As written on the command line; for `strings` a single value. */
  readonly default: string;
  readonly meaning: string;
  readonly short?: string;
  /** Every value that it takes, for shell completion. */
  readonly values?: readonly string[];
  /** What a running agent knows the values as, for shell completion. */
  readonly lookup?: string;
}

export type FlagSpecs = Readonly<Record<string, FlagSpec>>;

type ValueOf<T extends FlagType> = T extends "string"
  ? string
  : T extends "bool"
    ? boolean
    : T extends "int"
      ? number
      : readonly string[];

export type FlagValues<S extends FlagSpecs> = { readonly [N in keyof S]: ValueOf<S[N]["type"]> };

export interface ParsedFlags<S extends FlagSpecs> {
  readonly values: FlagValues<S>;
  /** The flags on the command line; all others have their default. */
  readonly given: ReadonlySet<string>;
  readonly positionals: readonly string[];
  /** One entry for each unknown flag. */
  readonly unknown: readonly UnknownFlag[];
  /** One entry for each value that cannot be parsed. */
  readonly problems: readonly { readonly flag: string; readonly message: string }[];
}

export interface UnknownFlag {
  readonly flag: string;
  readonly message: string;
}

/**
 * Parses a command line in GNU style: `--name value`, `--name=value`, `--bool`, `-s value`. Flags may follow
 * positionals, `--` ends the flags, and a value may be empty.
 * @param keepWord whether a word after an unknown flag is a positional; otherwise it is the flag's value
 */
export function parseFlags<S extends FlagSpecs>(
  args: readonly string[],
  specs: S,
  keepWord: (word: string) => boolean = () => true,
): ParsedFlags<S> {
  const values = new Map<string, unknown>(Object.entries(specs).map(([name, spec]) => [name, defaultOf(spec)]));
  const given = new Set<string>();
  const positionals: string[] = [];
  const unknown: UnknownFlag[] = [];
  const problems: { flag: string; message: string }[] = [];
  const names = new Map(Object.entries(specs).flatMap(([name, spec]) => namesOf(name, spec)));

  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? "";
    if (word === "--") {
      positionals.push(...args.slice(index + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      positionals.push(word);
      continue;
    }
    const { flag, inline } = splitFlag(word, names);
    const name = names.get(flag);
    const spec = name === undefined ? undefined : specs[name];
    const next = args[index + 1];
    if (name === undefined || spec === undefined) {
      unknown.push({
        flag,
        // looking for a similar name takes time, and is needed for an error only
        get message() {
          return `unknown flag ${flag}${suggestion(flag.replace(/^-+/, ""), Object.keys(specs), "--")}`;
        },
      });
      if (inline === undefined && next !== undefined && !next.startsWith("-") && !keepWord(next)) index++;
      continue;
    }
    const takesNext = inline === undefined && spec.type !== "bool";
    if (takesNext) index++;
    const text = inline ?? (takesNext ? next : "true");
    const value = text === undefined ? undefined : parseValue(spec.type, text);
    if (text === undefined) problems.push({ flag: `--${name}`, message: `flag --${name} needs a value` });
    else if (value === undefined)
      problems.push({ flag: `--${name}`, message: `${JSON.stringify(text)} is not ${forms[spec.type]}` });
    else if (spec.type === "strings" && given.has(name)) values.set(name, append(values.get(name), text));
    else values.set(name, value);
    given.add(name);
  }
  return { values: Object.fromEntries(values) as FlagValues<S>, given, positionals, unknown, problems };
}

const forms: Readonly<Record<FlagType, string>> = {
  string: "a string",
  strings: "a string",
  bool: "true or false",
  int: "a whole number",
};

function namesOf(name: string, spec: FlagSpec): readonly (readonly [string, string])[] {
  const long = [`--${name}`, name] as const;
  return spec.short === undefined ? [long] : [long, [`-${spec.short}`, name]];
}

/** `--name=value`, `-s=value` and `-svalue` carry their value with them. */
function splitFlag(word: string, names: ReadonlyMap<string, string>): { flag: string; inline: string | undefined } {
  const equals = word.indexOf("=");
  if (word.startsWith("--") || equals === 2) {
    return equals < 0
      ? { flag: word, inline: undefined }
      : { flag: word.slice(0, equals), inline: word.slice(equals + 1) };
  }
  const short = word.slice(0, 2);
  return word.length > 2 && names.has(short)
    ? { flag: short, inline: word.slice(2) }
    : { flag: word, inline: undefined };
}

function append(before: unknown, text: string): readonly unknown[] {
  const texts: readonly unknown[] = Array.isArray(before) ? before : [];
  return [...texts, text];
}

function defaultOf(spec: FlagSpec): unknown {
  return parseValue(spec.type, spec.default);
}

function parseValue(type: FlagType, text: string): unknown {
  switch (type) {
    case "string":
      return text;
    case "strings":
      return text === "" ? [] : [text];
    case "bool":
      if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
      return /^(0|f|F|FALSE|false|False)$/.test(text) ? false : undefined;
    case "int":
      return /^[+-]?\d{1,15}$/.test(text) ? Number(text) : undefined;
  }
}
