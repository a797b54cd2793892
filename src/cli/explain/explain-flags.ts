// SPDX-License-Identifier: Apache-2.0
import type { FlagSpecs } from "../../lib/flags.ts";
import { outputFlags } from "../output/output-format.ts";

/** Flags of `explain`, in addition to those of `proxy`. */
export const explainFlags = {
  ...outputFlags,
  diff: {
    type: "string",
    default: "",
    meaning: "print only the differences from other inputs: a JSON or YAML file with env, args, labels or annotations",
  },
  validate: {
    type: "bool",
    default: "false",
    meaning: "also check the bootstrap against Envoy's API, and run Envoy with --mode validate",
  },
} as const satisfies FlagSpecs;
