// SPDX-License-Identifier: Apache-2.0
import { formatIp, ipBytes } from "../../lib/net/ip-address.ts";
import type { Cidr, IpFamily, PortRange } from "../options.ts";
import { iptablesChain, renderIptablesRule } from "../render-iptables.ts";
import { type Action, type Match, type Owner, ownChains, type Rule } from "../rules.ts";

type Body = Pick<Rule, "match" | "action">;
type States = NonNullable<Match["states"]>;

/**
 * A rule as `iptables-save` prints it, without `-A CHAIN`, as one of the model. Spellings differ between versions and
 * variants of iptables; what they mean does not.
 * @returns undefined for a rule that the model cannot express, which is another's
 */
export function readSavedRule(text: string, family: IpFamily): Body | undefined {
  const reader = new RuleReader(text.split(" "), family);
  return reader.read() ? { match: reader.match, action: reader.action } : undefined;
}

/** As `iptables-save` prints conditions. */
const savedOrder =
  "source destination inInterface outInterface protocol sourcePort destinationPorts states mark connectionMark owners".split(
    " ",
  );

/** The same text for all rules that mean the same to the kernel, in any of the spellings. */
export function ruleKey({ match, action }: Body): string {
  const parts = Object.entries(normalMatch(match));
  parts.sort(([one], [other]) => savedOrder.indexOf(one) - savedOrder.indexOf(other));
  return renderIptablesRule({ match: Object.fromEntries(parts), action });
}

/** Without conditions that every packet fulfils, which iptables does not keep either. */
function normalMatch({ source, destination, destinationPorts, states, ...rest }: Match): Match {
  const { inInterface, outInterface, ...others } = rest;
  const all = destinationPorts?.negated !== true && destinationPorts?.ranges.some(isEveryPort) === true;
  return {
    ...others,
    ...(inInterface === undefined || inInterface === "+" ? {} : { inInterface }),
    ...(outInterface === undefined || outInterface === "+" ? {} : { outInterface }),
    ...(source === undefined || source.text.endsWith("/0") ? {} : { source: normalCidr(source) }),
    ...(destination === undefined || (destination.text.endsWith("/0") && destination.negated !== true)
      ? {}
      : { destination: normalCidr(destination) }),
    ...(destinationPorts === undefined || all ? {} : { destinationPorts }),
    ...(states === undefined ? {} : { states: [...states].sort() }),
  };
}

function isEveryPort({ first, last }: PortRange): boolean {
  return first === 0 && last === 65_535;
}

/** Without the bits behind the prefix. */
function normalCidr<T extends Cidr>(cidr: T): T {
  const [address = "", length = ""] = cidr.text.split("/");
  const bytes = ipBytes(address) ?? new Uint8Array();
  const kept = bytes.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, Number(length) - 8 * index))));
  return { ...cidr, text: `${formatIp(kept)}/${length}` };
}

const states: Readonly<Record<string, States[number]>> = {
  INVALID: "invalid",
  RELATED: "related",
  ESTABLISHED: "established",
};
const protocols: Readonly<Record<string, "tcp" | "udp">> = { tcp: "tcp", udp: "udp", "6": "tcp", "17": "udp" };
const wholeMark = "0xffffffff";

/** Reads the words of one rule from left to right. */
class RuleReader {
  match: Match = {};
  action: Action = { kind: "return" };
  readonly #words: string[];
  readonly #family: IpFamily;
  #negated = false;
  #module = "";

  constructor(words: string[], family: IpFamily) {
    this.#words = words;
    this.#family = family;
  }

  /** @returns whether all words were understood; `match` and `action` are complete then */
  read(): boolean {
    while (this.#words.length > 0) {
      const word = this.#next();
      if (word === "!") {
        this.#negated = true;
        continue;
      }
      if (word === "-j") return this.#readAction();
      if (!this.#readMatch(word)) return false;
      this.#negated = false;
    }
    return false;
  }

  #next(): string {
    return this.#words.shift() ?? "";
  }

  #readMatch(word: string): boolean {
    const negated = this.#negated ? ({ negated: true } as const) : {};
    const value = this.#next();
    if (word === "-m") {
      this.#module = value;
      return !this.#negated;
    }
    if (word === "-d") return this.#add({ destination: { ...this.#cidr(value), ...negated } });
    if (word === "--dport" || word === "--dports") {
      const ranges = value.split(",").map(portRange);
      return ranges.every(isNumeric) && this.#add({ destinationPorts: { ranges, ...negated } });
    }
    if (word === "--mark" && this.#module === "mark") {
      const mark = markValue(value);
      return mark !== undefined && this.#add({ mark: { value: mark, ...negated } });
    }
    if (word === "--uid-owner" || word === "--gid-owner") return this.#readOwner(word, value, negated);
    return !this.#negated && this.#readPlain(word, value);
  }

  /** Conditions that the model does not negate. */
  #readPlain(word: string, value: string): boolean {
    switch (word) {
      case "-s":
        return this.#add({ source: this.#cidr(value) });
      case "-i":
        return this.#add({ inInterface: value });
      case "-o":
        return this.#add({ outInterface: value });
      case "-p": {
        const protocol = protocols[value];
        return protocol !== undefined && this.#add({ protocol });
      }
      case "--sport":
        return /^\d+$/.test(value) && this.#add({ sourcePort: Number(value) });
      case "--ctstate": {
        const known = value.split(",").flatMap((name) => states[name] ?? []);
        return known.length === value.split(",").length && this.#add({ states: known });
      }
      case "--mark": {
        const mark = markValue(value);
        return this.#module === "connmark" && mark !== undefined && this.#add({ connectionMark: mark });
      }
      default:
        return false;
    }
  }

  #readOwner(word: string, value: string, negated: { readonly negated?: true }): boolean {
    const owner: Owner = { kind: word === "--uid-owner" ? "uid" : "gid", id: Number(value), ...negated };
    return /^\d+$/.test(value) && this.#add({ owners: [...(this.match.owners ?? []), owner] });
  }

  /** A condition may stand once, owners apart. */
  #add(part: Match): boolean {
    const isNew = Object.keys(part).every((name) => name === "owners" || !(name in this.match));
    this.match = { ...this.match, ...part };
    return isNew;
  }

  #cidr(text: string): Cidr {
    const length = this.#family === "ipv4" ? "32" : "128";
    return { family: this.#family, text: text.includes("/") ? text : `${text}/${length}` };
  }

  #readAction(): boolean {
    const target = this.#next();
    const options = new Map<string, string>();
    while (this.#words.length > 0) {
      const name = this.#next();
      options.set(name, /^--?[a-z]/.test(this.#words[0] ?? "-x") ? "" : this.#next());
    }
    const action = actionOf(target, options);
    if (action === undefined) return false;
    this.action = action;
    return true;
  }
}

function actionOf(target: string, options: ReadonlyMap<string, string>): Action | undefined {
  const number = (name: string): number | undefined => {
    const text = options.get(name) ?? "";
    return /^\d+$/.test(text) ? Number(text) : undefined;
  };
  const only = (...names: readonly string[]): boolean => [...options.keys()].every((name) => names.includes(name));
  switch (target) {
    case "ACCEPT":
      return only() ? { kind: "accept" } : undefined;
    case "DROP":
      return only() ? { kind: "drop" } : undefined;
    case "RETURN":
      return only() ? { kind: "return" } : undefined;
    case "REDIRECT": {
      const port = number("--to-ports");
      return port === undefined || !only("--to-ports") ? undefined : { kind: "redirect", port };
    }
    case "TPROXY": {
      const [port, mark] = [number("--on-port"), markValue(options.get("--tproxy-mark") ?? "")];
      const ip = options.get("--on-ip") ?? "::";
      if (port === undefined || mark === undefined || (ip !== "0.0.0.0" && ip !== "::")) return undefined;
      return { kind: "tproxy", port, mark };
    }
    case "MARK": {
      const mark = markValue(options.get("--set-xmark") ?? "");
      return mark === undefined || !only("--set-xmark") ? undefined : { kind: "set-mark", mark };
    }
    case "CONNMARK":
      return connmarkAction(options);
    case "CT": {
      const zone = number("--zone");
      return zone === undefined || !only("--zone") ? undefined : { kind: "set-zone", zone };
    }
    default: {
      const chain = ownChains.find((name) => iptablesChain(name) === target);
      return chain === undefined || !only() ? undefined : { kind: "jump", chain };
    }
  }
}

function connmarkAction(options: ReadonlyMap<string, string>): Action | undefined {
  const isWhole = ["--nfmask", "--ctmask"].every((name) => (options.get(name) ?? wholeMark) === wholeMark);
  if (!isWhole) return undefined;
  if (options.has("--save-mark")) return { kind: "save-mark" };
  return options.has("--restore-mark") ? { kind: "restore-mark" } : undefined;
}

/** `0x539`, `0x539/0xffffffff`, `1337`; undefined with another mask. */
function markValue(text: string): number | undefined {
  const [value = "", mask = wholeMark] = text.split("/");
  return mask === wholeMark && /^(?:0x[0-9a-f]+|\d+)$/.test(value) ? Number(value) : undefined;
}

function portRange(text: string): PortRange {
  const [first = "", last = first] = text.split(":");
  return { first: Number(first), last: Number(last) };
}

function isNumeric({ first, last }: PortRange): boolean {
  return Number.isInteger(first) && Number.isInteger(last);
}
