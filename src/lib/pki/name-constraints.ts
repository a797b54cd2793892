// SPDX-License-Identifier: Apache-2.0
import {
  type CertificateFields,
  type GeneralName,
  generalNameTag,
  type NameConstraints,
} from "./certificate-fields.ts";
import { childrenOf, type DerElement, derTag, readDerElement, readOid } from "./der-reader.ts";

/**
 * Whether the names of a certificate are within the constraints of an authority above it: its alternative names, and its
 * subject when it is not empty. A constrained kind of name that is not supported here, such as an IP address, is not within.
 * @throws DerError
 * Source: RFC 5280 section 4.2.1.10; the kinds that are supported are those of BoringSSL, as observed with Envoy 1.40
 */
export function isWithin({ permitted, excluded }: NameConstraints, fields: CertificateFields): boolean {
  const subject = childrenOf(readDerElement(fields.subject, derTag.sequence));
  const names = subject.length === 0 ? [] : [{ tag: generalNameTag.directory, value: fields.subject }];
  return [...names, ...fields.alternativeNames].every((name) => {
    const ofKind = permitted.filter(({ tag }) => tag === name.tag);
    return (
      (ofKind.length === 0 || ofKind.some((base) => matches(base, name) === true)) &&
      excluded.every((base) => base.tag !== name.tag || matches(base, name) === false)
    );
  });
}

/** Undefined for a kind of name, or a name, that cannot be compared. */
function matches(base: GeneralName, name: GeneralName): boolean | undefined {
  switch (name.tag) {
    case generalNameTag.dns:
      return isHostBelow(textOf(name), textOf(base), "optional");
    case generalNameTag.uri: {
      const host = /^[^:]*:\/\/(?:[^/@]*@)?([^:/]+)/.exec(textOf(name))?.[1];
      return host === undefined ? undefined : isHostBelow(host, textOf(base), "required");
    }
    case generalNameTag.email:
      return isMailboxBelow(textOf(name), textOf(base));
    case generalNameTag.directory:
      return isDirectoryBelow(name.value, base.value);
    default:
      return undefined;
  }
}

function textOf({ value }: GeneralName): string {
  return Buffer.from(value).toString("latin1").toLowerCase();
}

/** @param dot whether a constraint without a leading dot covers the names below it too */
function isHostBelow(host: string, base: string, dot: "optional" | "required"): boolean {
  if (base.startsWith(".")) return host.length > base.length && host.endsWith(base);
  if (dot === "optional" && base === "") return true;
  return host === base || (dot === "optional" && host.endsWith(`.${base}`));
}

function isMailboxBelow(mailbox: string, base: string): boolean | undefined {
  const at = mailbox.lastIndexOf("@");
  if (at < 0) return undefined;
  return base.includes("@") ? mailbox === base : isHostBelow(mailbox.slice(at + 1), base, "required");
}

/** Whether the parts of the first name begin with all parts of the second. */
function isDirectoryBelow(name: Uint8Array, base: Uint8Array): boolean {
  const parts = directoryParts(name);
  return directoryParts(base).every((part, index) => part === parts[index]);
}

function directoryParts(name: Uint8Array): readonly string[] {
  return childrenOf(readDerElement(name, derTag.sequence)).map((part) =>
    childrenOf(part, derTag.set).map(attributeText).sort().join("+"),
  );
}

/** Letter case and repeated spaces do not distinguish names. */
function attributeText(attribute: DerElement): string {
  const [type, value] = childrenOf(attribute);
  const text = Buffer.from(value?.content ?? []).toString("utf8");
  return `${readOid(type)}=${text.trim().replaceAll(/\s+/g, " ").toLowerCase()}`;
}
