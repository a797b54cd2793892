// SPDX-License-Identifier: Apache-2.0
import { type DescMessage, fromJson, type JsonValue, type Registry, toBinary } from "@bufbuild/protobuf";
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type YAMLMap,
} from "yaml";
import { AgentError, describeError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { yamlProblem } from "../../lib/yaml-problem.ts";
import { checkExpandedSize, checkYamlSize, mostResourceFileValues } from "../../lib/yaml-size.ts";
import { inProtoJson } from "./parser-forms.ts";
import { anyOf, parseResponse, renderResponse, type XdsResource } from "../protocol/response.ts";

/** A resource file is invalid. Envoy never sees it. */
export class ResourceFileError extends AgentError {
  readonly code = "AGENT_XDS_RESOURCE";
  override readonly exitCode = exitCode.configuration;
  readonly file: string;
  /** From 1. */
  readonly line: number;
  constructor(file: string, line: number, problem: string, cause?: unknown) {
    super(`${file}:${String(line)}: ${problem}`, { cause });
    this.file = file;
    this.line = line;
  }
}

/** A resource with its type. */
export interface FileResource extends XdsResource {
  readonly typeUrl: string;
}

/** The error for a problem at a node. */
type ErrorAt = (node: Node | null | undefined, problem: string) => ResourceFileError;

/** Messages whose JSON form is not that of their fields. Source: protobuf.dev, ProtoJSON */
const specialForms = /^google\.protobuf\.(Struct|Value|Duration|Timestamp|FieldMask|\w+Value)$/;

/**
 * Reads a file in the form of Envoy's filesystem subscriptions: `resources`, a list of objects with `@type`, in YAML or
 * JSON; field names as in the protos or in camel case.
 * @throws ResourceFileError at the first problem
 */
export function parseResourceFile(file: string, text: string, api: Registry): readonly FileResource[] {
  const lines = new LineCounter();
  const document = parseWithinLimits(file, text, lines);
  const errorAt: ErrorAt = (node, problem) =>
    new ResourceFileError(file, lines.linePos(node?.range?.[0] ?? 0).line, problem);
  const [error] = document.errors;
  if (error !== undefined) {
    throw new ResourceFileError(file, lines.linePos(error.pos[0]).line, `not YAML: ${yamlProblem(error)}`);
  }
  const root = document.contents;
  const list = isMap(root) ? root.get("resources", true) : undefined;
  if (!isSeq(list)) throw errorAt(root, "there is no list `resources`");
  return list.items.map((item) => readResource({ document, api, errorAt }, resolve(document, item)));
}

function parseWithinLimits(file: string, text: string, lineCounter: LineCounter): Document.Parsed {
  try {
    checkYamlSize(text, mostResourceFileValues);
    const document = parseDocument(text, { lineCounter });
    if (document.errors.length === 0) checkExpandedSize(document, mostResourceFileValues);
    return document;
  } catch (error) {
    throw new ResourceFileError(file, 1, describeError(error), error);
  }
}

interface Reading {
  readonly document: Document;
  readonly api: Registry;
  readonly errorAt: ErrorAt;
}

function readResource(reading: Reading, node: Node | null): FileResource {
  const { message, typeUrl } = messageOf(reading, node);
  checkAny(reading, node);
  const json = inProtoJson(message, parseFields(plain(reading, node)), reading.api);
  let content: Uint8Array;
  try {
    content = toBinary(message, fromJson(message, json, { registry: reading.api }));
  } catch (error) {
    throw reading.errorAt(node, shorten(error));
  }
  const any = anyOf(typeUrl, content);
  const wrapped = { typeUrl, version: "", nonce: "", removed: [], resources: [{ name: "", version: "", any }] };
  const [resource] = parseResponse(renderResponse(wrapped, "sotw"), "sotw").resources;
  if (resource === undefined || resource.name === "") throw reading.errorAt(node, "the resource has no name");
  return { ...resource, typeUrl };
}

function messageOf(reading: Reading, node: Node | null): { readonly message: DescMessage; readonly typeUrl: string } {
  if (!isMap(node)) throw reading.errorAt(node, "expected an object with @type");
  const typeUrl = node.get("@type");
  if (typeof typeUrl !== "string") throw reading.errorAt(node, "there is no @type");
  const message = reading.api.getMessage(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
  if (message === undefined) throw reading.errorAt(node, `the type ${typeUrl} is not known here`);
  return { message, typeUrl };
}

/** An object with `@type`. */
function checkAny(reading: Reading, node: Node | null): void {
  const { message } = messageOf(reading, node);
  if (isMap(node) && !specialForms.test(message.typeName)) checkFields(reading, node, message);
}

function checkMessage(reading: Reading, node: Node | null, message: DescMessage): void {
  if (isScalar(node) && node.value === null) return;
  if (message.typeName === "google.protobuf.Any") checkAny(reading, node);
  else if (specialForms.test(message.typeName)) checkValue(reading, node, message);
  else if (isMap(node)) checkFields(reading, node, message);
  else throw reading.errorAt(node, `expected an object: ${message.typeName}`);
}

function checkFields(reading: Reading, node: YAMLMap, message: DescMessage): void {
  for (const pair of node.items) {
    const name = isScalar(pair.key) ? String(pair.key.value) : "";
    if (name === "@type") continue;
    const field = message.fields.find(({ name: own, jsonName }) => own === name || jsonName === name);
    const keyNode = isScalar(pair.key) ? pair.key : node;
    if (field === undefined) throw reading.errorAt(keyNode, `${message.typeName} has no field ${name}`);
    const value = resolve(reading.document, pair.value);
    if (field.message === undefined) checkField(reading, { keyNode, name, value }, message);
    else if (field.fieldKind === "message") checkMessage(reading, value, field.message);
    else
      for (const element of elementsOf(reading, value, field.fieldKind)) checkMessage(reading, element, field.message);
  }
}

function elementsOf(reading: Reading, node: Node | null, kind: "list" | "map"): readonly (Node | null)[] {
  if (isScalar(node) && node.value === null) return [];
  if (kind === "list" && isSeq(node)) {
    return node.items.flatMap((item) => elementsOf(reading, resolve(reading.document, item), kind));
  }
  // one element may stand for a list of it
  if (kind === "list") return [node];
  if (isMap(node)) return node.items.map(({ value }) => resolve(reading.document, value));
  throw reading.errorAt(node, "expected an object");
}

interface FieldNode {
  readonly keyNode: Node;
  readonly name: string;
  readonly value: Node | null;
}

function checkField(reading: Reading, { keyNode, name, value }: FieldNode, message: DescMessage): void {
  try {
    fromJson(message, inProtoJson(message, { [name]: plain(reading, value) }, reading.api));
  } catch (error) {
    throw reading.errorAt(value ?? keyNode, shorten(error));
  }
}

function checkValue(reading: Reading, node: Node | null, message: DescMessage): void {
  try {
    fromJson(message, inProtoJson(message, plain(reading, node), reading.api), { registry: reading.api });
  } catch (error) {
    throw reading.errorAt(node, shorten(error));
  }
}

function plain({ document }: Reading, node: Node | null): JsonValue {
  return parsePlain(node?.toJS(document));
}

/** An object without its `@type`. */
function parseFields(value: JsonValue): JsonValue {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value as Record<string, JsonValue>).filter(([name]) => name !== "@type"));
}

/** YAML's values are JSON's, but for dates and such, which the core schema does not make. */
function parsePlain(value: unknown): JsonValue {
  return (value ?? null) as JsonValue;
}

function resolve(document: Document, node: unknown): Node | null {
  return parseNode(isAlias(node) ? node.resolve(document) : node);
}

/** A parsed document contains nodes only. */
function parseNode(node: unknown): Node | null {
  return (node ?? null) as Node | null;
}

function shorten(error: unknown): string {
  return error instanceof Error ? error.message.replace(/^cannot decode /, "") : String(error);
}
