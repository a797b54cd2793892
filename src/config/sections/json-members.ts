// SPDX-License-Identifier: Apache-2.0

/** Plain values from JSON; undefined when the text is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A member by its name in any letter case, as Kubernetes' own reader takes it; `null` is not given. */
export function member(value: Readonly<Record<string, unknown>>, name: string): unknown {
  const exact = value[name];
  if (exact !== undefined && exact !== null) return exact;
  const key = Object.keys(value).find((given) => given.toLowerCase() === name.toLowerCase());
  return key === undefined ? undefined : (value[key] ?? undefined);
}

/** A text for an error message: quoted, and not longer than a line. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
