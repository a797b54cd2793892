// SPDX-License-Identifier: Apache-2.0
import { type Document, isAlias, isCollection, isPair, Lexer } from "yaml";
import { DocumentLimitError, mostLevels, tooDeep } from "./json.ts";

/** The parser takes up to 1 kB of the heap for one, and what it makes of JSON's own parser far less. */
export const mostYamlValues = 10_000;

/** For a file of resources, which is parsed after the start. A larger set of resources can be in several files. */
export const mostResourceFileValues = 20_000;

/** Each is looked up in the whole document. */
const mostAliases = 500;

/**
 * Finds before a text of YAML is parsed whether it is too large to parse: reads it one word at a time and keeps nothing.
 * @param mostValues names, values and the marks of lists and objects
 * @throws DocumentLimitError
 */
export function checkYamlSize(text: string, mostValues = mostYamlValues): void {
  const blocks: number[] = [];
  let [values, aliases, flows, column] = [0, 0, 0, 0];
  for (const token of new Lexer().lex(text)) {
    if (isValue(token)) {
      if (++values > mostValues) throw new DocumentLimitError(tooManyYamlValues(mostValues));
      if (token.startsWith("*") && ++aliases > mostAliases) {
        throw new DocumentLimitError(`has more than ${String(mostAliases)} aliases`);
      }
      if (flows === 0) enterBlock(blocks, column);
    }
    if (token === "[" || token === "{") flows++;
    else if (token === "]" || token === "}") flows = Math.max(0, flows - 1);
    if (blocks.length + flows > mostLevels) throw tooDeep();
    column = columnAfter(token, column);
  }
}

function tooManyYamlValues(most: number): string {
  return `has more than ${String(most)} names and values`;
}

/** Marks without a text of their own, as the lexer gives them: start of a document, of a scalar, of a flow error. */
const invisible = /^[\u0002\u0018\u001f\uFEFF]/;

function isValue(token: string): boolean {
  return /^[\u001f[{?:*&!-]/.test(token);
}

/** Whatever starts further to the right than what is open is within it. */
function enterBlock(columns: number[], column: number): void {
  while ((columns.at(-1) ?? -1) >= column) columns.pop();
  columns.push(column);
}

function columnAfter(token: string, column: number): number {
  if (invisible.test(token)) return column;
  const lineEnd = token.lastIndexOf("\n");
  return lineEnd < 0 ? column + token.length : token.length - lineEnd - 1;
}

/**
 * Counts the values of a document with each alias and merge key replaced by what it stands for, which can be
 * exponentially more than the text has.
 * @throws DocumentLimitError
 */
export function checkExpandedSize(document: Document, mostValues = mostYamlValues): void {
  const known = new Map<unknown, number>();
  const sizeOf = (node: unknown): number => {
    const before = known.get(node);
    if (before !== undefined) return before;
    // a node within itself has no end
    known.set(node, Number.POSITIVE_INFINITY);
    const size = 1 + childrenOf(document, node).reduce((sum: number, child) => sum + sizeOf(child), 0);
    known.set(node, size);
    return size;
  };
  if (sizeOf(document.contents) > 2 * mostValues) {
    throw new DocumentLimitError(`${tooManyYamlValues(2 * mostValues)}, with its aliases replaced`);
  }
}

function childrenOf(document: Document, node: unknown): readonly unknown[] {
  if (isAlias(node)) return [node.resolve(document)];
  if (isPair(node)) return [node.key, node.value];
  return isCollection(node) ? node.items : [];
}
