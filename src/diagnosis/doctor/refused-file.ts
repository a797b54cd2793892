// SPDX-License-Identifier: Apache-2.0
import { splitCure } from "./cure.ts";

/** The file of `ATTACHE_XDS_FILES` that a condition of readiness is about: `no update could be read: /etc/x/lds.yaml: …`. */
export function fileOf(detail: string): string | undefined {
  return /: (\/[^:]*\/[cl]ds\.yaml): /.exec(detail)?.[1];
}

/** What to do about a file that Envoy cannot use, without what the agent says of that. */
export function splitFileCure(detail: string, file: string): { readonly fact: string; readonly cure: string } {
  const place = /not YAML: .* at (line \d+, column \d+)/.exec(detail)?.[1];
  if (place !== undefined)
    return { fact: splitCure(detail).fact, cure: `Correct ${file} at ${place}; Envoy reads it again at once.` };
  const { fact, cure } = splitCure(detail);
  if (/; (create|add) [^;]*$/.test(detail) && cure !== undefined) return { fact, cure };
  const line = /; its (line `[^`]*` in the log says why)$/.exec(detail)?.[1];
  if (line !== undefined) return { fact, cure: `Correct ${file}; Envoy's ${line}.` };
  const lacked = /: this Envoy lacks [^:]*(: .*)$/.exec(detail)?.[1];
  if (lacked === undefined) return { fact: detail, cure: `Correct it in ${file}; Envoy reads it again at once.` };
  const advice = "or use an Envoy that has it (Istio's is in the image istio/proxyv2)";
  return { fact: detail.slice(0, -lacked.length), cure: `Remove it from ${file}, ${advice}.` };
}
