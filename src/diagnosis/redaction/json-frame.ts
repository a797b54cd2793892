// SPDX-License-Identifier: Apache-2.0
import type { HeldValue } from "./held-output.ts";
import { isKnownAnnotation, isKnownMetadata, isKnownVariable } from "./known-names.ts";
import type { RemovalKind } from "./removals.ts";
import { isHarmlessHeader, isSecretName, isValueMember } from "./secret-names.ts";

/** An object or a list that is being read. */
export interface Frame {
  readonly kind: "object" | "list";
  /** The member that it is the value of; of an item of a list, the list's. */
  readonly member: string;
  readonly parent: Frame | undefined;
  /** Why all values within are hidden. */
  readonly hidden: RemovalKind | undefined;
  /** The member whose value comes next. Of a list, its own member. */
  current: string;
  expects: "name" | "colon" | "value" | "next";
  isEmpty: boolean;
  /** The text of a member such as `name`, which says what its siblings are. */
  givenName: string | undefined;
  /** Of a list: the item before was the name of an argument, such as `--password`. */
  isArgumentNext: boolean;
  /** Values that wait for it. */
  readonly held: HeldValue[];
}

const headerLists =
  /(?:^|_)headers?(?:_to_(?:add|set|append))?$|Headers?(?:ToAdd|ToSet|ToAppend)?$|^initial_?metadata$/i;
const variableLists = /^(?:proxy_?metadata|environment_?variables|environment|envs?|key_?values)$/i;
/** Members of an object for a header that are no header's name. */
const headerMembers =
  /^(?:header|key|name|value|raw_value|append|append_action|keep_empty_value|patterns|ignore_case|google_re2|(?:invert|exact|prefix|suffix|contains|safe_regex|regex|string|range|present)_match|exact|prefix|suffix|contains|safe_regex|regex|treat_missing_header_as_empty|@type|(?:dis)?allow_\w+)$/i;

/** What is known to be harmless by the name in or beside a value; undefined where that does not matter. */
export type NameRule = "header" | "unknown-variable" | "unknown-setting" | undefined;

/** The rule for values that stand beside a name: `{key, value}`. */
export function siblingRule(frame: Frame): NameRule {
  if (headerLists.test(frame.member)) return "header";
  if (frame.member === "settings") return "unknown-setting";
  return variableLists.test(frame.member) ? "unknown-variable" : undefined;
}

/** Whether a value of this name is hidden. */
export function isHiddenBy(name: string, rule: NameRule): boolean {
  if (isSecretName(name)) return true;
  if (rule === "header") return !isHarmlessHeader(name);
  if (rule === "unknown-variable") return !isKnownVariable(name);
  // flags, and fields of ProxyConfig, are known
  return rule === "unknown-setting" && /^[A-Z][A-Z0-9]*_/.test(name) && !isKnownVariable(name);
}

/** How a value that is hidden by a name beside it is counted. */
export function kindOf(name: string, rule: NameRule): RemovalKind {
  if (isSecretName(name) || rule === undefined) return "secret-name";
  return rule === "header" ? "header" : "unknown-variable";
}

/** Why the current member of an object is hidden with all that is within; undefined when it is not. */
export function memberRule({ kind, member, parent, current }: Frame): "header" | "unknown-variable" | undefined {
  if (kind !== "object") return undefined;
  if (/^(?:typed_?)?metadata$/i.test(member) && parent?.member === "node") {
    return isKnownMetadata(current) ? undefined : "unknown-variable";
  }
  if (/^annotations$/i.test(member)) return isKnownAnnotation(current) ? undefined : "unknown-variable";
  if (variableLists.test(member) && !/^(?:name|key|value|value_?from)$/i.test(current)) {
    return isKnownVariable(current) ? undefined : "unknown-variable";
  }
  if (headerLists.test(member) && !headerMembers.test(current)) return isHarmlessHeader(current) ? undefined : "header";
  return undefined;
}

/** The frames whose name decides about the current member's value: `{name, string_match: {exact}}`. */
export function namingFrames(frame: Frame): readonly Frame[] {
  const frames: Frame[] = [];
  for (let at: Frame | undefined = frame; at !== undefined && frames.length < 3; at = at.parent) {
    if (at.kind === "list") continue;
    if (!isValueMember(at.current)) break;
    frames.push(at);
  }
  return frames;
}
