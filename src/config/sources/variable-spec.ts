// SPDX-License-Identifier: Apache-2.0

/** The forms of a variable's text. `dead` is accepted, warned about and without effect. */
export type VariableType = "string" | "bool" | "int" | "float" | "duration";

export interface VariableSpec {
  readonly type: VariableType;
  /** In the notation in which it is set. */
  readonly default: string;
  readonly unit: string;
  readonly meaning: string;
  /** Where the name and its meaning come from. */
  readonly source: "istio" | "kubernetes" | "attache" | "go" | "cloud" | "vault" | "spiffe";
  readonly dead?: true;
}

export type Row<T extends VariableType> = VariableSpec & { readonly type: T };

export function row<T extends VariableType>(
  type: T,
  fallback: string,
  meaning: string,
  more: { readonly unit?: string; readonly source?: VariableSpec["source"] } = {},
): Row<T> {
  return { type, default: fallback, meaning, unit: more.unit ?? "", source: more.source ?? "istio" };
}

export function dead<T extends VariableType>(
  type: T,
  fallback: string,
  meaning: string,
): Row<T> & { readonly dead: true } {
  return { ...row(type, fallback, meaning), dead: true };
}
