// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

/** Folders whose code handles what peers send. */
const folders = ["ca", "cert", "dns", "envoy", "lib", "metrics", "platform", "recorder", "sds", "status", "xds"];

/**
 * Every map, set, list and text of the sources that outlives the call which adds to it, as `src/dns/exchange.ts #open`:
 * a field, a variable of a module, or a variable that an inner function uses, and which begins empty. What a single call
 * fills and returns is not found: the size of its input is limited elsewhere.
 */
export function findGrowingCollections(): readonly string[] {
  return folders.flatMap((folder) =>
    readdirSync(join("src", folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts") && !name.startsWith("budget"))
      .flatMap((name) => collectionsIn(`src/${folder}/${name}`)),
  );
}

function collectionsIn(path: string): readonly string[] {
  return collectionsOf(path, readFileSync(path, "utf8"));
}

/** @param path in what is returned */
export function collectionsOf(path: string, text: string): readonly string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found = new Set<string>();
  const visit = (node: ts.Node): void => {
    const isDeclaration = ts.isPropertyDeclaration(node) || ts.isVariableDeclaration(node);
    if (isDeclaration && grows(node.initializer, source) && outlivesCall(node)) {
      found.add(`${path} ${node.name.getText()}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return [...found];
}

/** A map, set or list that is empty or to which the file adds; an empty text or buffer to which the file adds. */
function grows(initial: ts.Expression | undefined, source: ts.SourceFile): boolean {
  if (initial === undefined) return false;
  const { parent } = initial;
  if (!ts.isPropertyDeclaration(parent) && !ts.isVariableDeclaration(parent)) return false;
  const name = parent.name.getText();
  if (ts.isArrayLiteralExpression(initial)) return initial.elements.length === 0;
  if (ts.isNewExpression(initial)) {
    const isCollection = ["Map", "Set", "Array", "ByteParts"].includes(initial.expression.getText());
    const isEmpty = (initial.arguments?.length ?? 0) === 0;
    if (isCollection) return isEmpty || ["set", "add", "push"].some((add) => source.text.includes(`${name}.${add}(`));
  }
  const text = initial.getText();
  if (text !== '""' && !/^(Buffer\.alloc|new Uint8Array)\(0\)$/.test(text) && text !== "nothing") return false;
  return source.text.includes(`${name} +=`) || source.text.includes(`${name} = Buffer.concat(`);
}

function outlivesCall(node: ts.PropertyDeclaration | ts.VariableDeclaration): boolean {
  if (ts.isPropertyDeclaration(node)) return true;
  const name = node.name.getText();
  let owner: ts.Node = node;
  while (!ts.isFunctionLike(owner) && !ts.isSourceFile(owner)) owner = owner.parent;
  if (ts.isSourceFile(owner)) return true;
  const isUsedInside = (inner: ts.Node, isInside: boolean): boolean => {
    if (isInside && ts.isIdentifier(inner) && inner.text === name) return true;
    const below = isInside || (ts.isFunctionLike(inner) && inner !== owner);
    return ts.forEachChild(inner, (child) => isUsedInside(child, below) || undefined) ?? false;
  };
  return isUsedInside(owner, false);
}
