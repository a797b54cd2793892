// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../lib/budget.ts";
import type { ByteSink } from "./buffers.ts";
import { FamilyTable } from "./family-table.ts";
import { parseDeclaration, parseSample } from "./metric-text.ts";

const newline = 0x0a;
const hash = 0x23;
const linesBetweenPauses = 50;

interface Group {
  readonly words: Set<string>;
  readonly declarations: Buffer[];
  /** The sample lines of each part that has some. */
  readonly parts: Map<number, Buffer[]>;
}

/**
 * Collects the lines of several parts and gives them back family by family: OpenMetrics wants the samples of a family
 * together. A metric that two parts have is that of the first one: no parser takes it twice.
 * Source: OpenMetrics 1.0, section on MetricFamily and on interleaving
 */
export class FamilyGroups implements ByteSink {
  /** By the family's name; lines before the first declaration of a part have none. */
  readonly #groups = new Map<string, Group>();
  /** For the families. */
  readonly #families: Budget;
  #part = 0;
  #family = "";
  #current: Group;
  /** Of the last line. */
  #last: Group;

  /** @param families beyond it, lines of a further family stay with the one before */
  constructor(families: Budget) {
    this.#families = families;
    this.#current = this.#group("");
    this.#last = this.#current;
  }

  /** From now on, lines are those of the next part. */
  beginPart(): void {
    this.#part++;
    this.#family = "";
    this.#current = this.#group("");
    this.#last = this.#current;
  }

  write(lines: Uint8Array): Promise<void> {
    this.add(lines);
    return Promise.resolve();
  }

  /** @param lines whole lines; their memory may be reused. Each family begins with one of its declarations. */
  add(lines: Uint8Array): void {
    const block = Buffer.from(lines);
    for (let at = 0; at < block.length; ) {
      const isDeclaration = block[at] === hash;
      const found = block.indexOf(isDeclaration ? "\n" : "\n#", at);
      const end = found < 0 ? block.length : found + 1;
      const part = block.subarray(at, end);
      if (isDeclaration) this.#declare(part);
      else this.#addSamples(part);
      at = end;
    }
  }

  /** All lines. Some pieces are empty: there, other work may run. */
  *lines(): Generator<Uint8Array> {
    const seen = new FamilyTable();
    for (const [family, group] of this.#groups) {
      yield* group.declarations;
      if (group.parts.size < 2) for (const lines of group.parts.values()) yield* lines;
      else for (const [part, lines] of group.parts) yield* newLines(lines, { family, part: String(part), seen });
      yield Buffer.alloc(0);
    }
  }

  /** Lines of another name than the current family's are those of a family that was not declared. */
  #addSamples(block: Buffer): void {
    let run = 0;
    for (let at = 0; at < block.length; ) {
      const end = block.indexOf(newline, at) + 1;
      const name = parseSample(block.toString("utf8", at, end - 1))?.name;
      const group = name === undefined || isOf(name, this.#family) ? this.#current : this.#group(name);
      if (group !== this.#last) {
        if (at > run) this.#samplesOf(this.#last).push(block.subarray(run, at));
        run = at;
        this.#last = group;
      }
      at = end;
    }
    if (block.length > run) this.#samplesOf(this.#last).push(block.subarray(run));
  }

  #declare(line: Buffer): void {
    const { word, family } = parseDeclaration(line.toString("utf8").trimEnd()) ?? {};
    if (word === undefined || family === undefined) return;
    this.#family = family;
    this.#current = this.#group(family);
    this.#last = this.#current;
    if (this.#current.words.has(word)) return;
    this.#current.words.add(word);
    this.#current.declarations.push(line);
  }

  #group(family: string): Group {
    const known = this.#groups.get(family);
    if (known !== undefined) return known;
    if (this.#groups.size > 0 && !this.#families.admits(this.#groups.size + 1)) return this.#current;
    const group: Group = { words: new Set(), declarations: [], parts: new Map() };
    this.#groups.set(family, group);
    return group;
  }

  #samplesOf({ parts }: Group): Buffer[] {
    const lines = parts.get(this.#part) ?? [];
    parts.set(this.#part, lines);
    return lines;
  }
}

const suffixes: ReadonlySet<string> = new Set([
  ...["", "_total", "_created", "_bucket", "_sum", "_count", "_info", "_gsum", "_gcount"],
]);

function isOf(name: string, family: string): boolean {
  return name.startsWith(family) && suffixes.has(name.slice(family.length));
}

interface PartOfFamily {
  readonly family: string;
  readonly part: string;
  /** The metrics of all families so far, each with the part that has it. */
  readonly seen: FamilyTable;
}

/** The lines of metrics that no earlier part has. */
function* newLines(blocks: readonly Buffer[], { family, part, seen }: PartOfFamily): Generator<Uint8Array> {
  let count = 0;
  for (const block of blocks) {
    for (let at = 0; at < block.length; ) {
      const end = block.indexOf(newline, at) + 1;
      const key = `${family}\n${metricKey(block.toString("utf8", at, end - 1))}`;
      const first = seen.claim(key, { label: part, type: "" });
      if (first === undefined || first.label === part) yield block.subarray(at, end);
      if (++count % linesBetweenPauses === 0) yield Buffer.alloc(0);
      at = end;
    }
  }
}

/** Its labels, except those that tell the samples of one metric apart. */
function metricKey(line: string): string {
  const labels = parseSample(line)?.labels ?? [];
  const own = labels.filter(({ name }) => name !== "le" && name !== "quantile");
  return JSON.stringify(own.map(({ name, value }) => [name, value]).sort());
}
