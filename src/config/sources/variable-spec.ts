// SPDX-License-Identifier: Apache-2.0

/** The types of variables. */
export type VariableType = "string" | "bool" | "int" | "float" | "duration";

export interface VariableSpec {
  readonly type: VariableType;
  /** As text, as it would be set. */
  readonly default: string;
  readonly unit: string;
  readonly meaning: string;
  /** Whose variable it is. */
  readonly source: "istio" | "kubernetes" | "attache" | "go" | "cloud" | "vault" | "spiffe";
  /** Accepted without effect; with a warning, unless it is the Go runtime's: Istio sets those in every pod. */
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
  source: VariableSpec["source"] = "istio",
): Row<T> & { readonly dead: true } {
  return { ...row(type, fallback, meaning, { source }), dead: true };
}
