// SPDX-License-Identifier: Apache-2.0
import type { RecorderConfig } from "../../recorder/recorder-config.ts";
import { Findings } from "../config-error.ts";
import { Environment } from "../sources/environment.ts";

/** Where the account of an abnormal end goes. Stands alone, because a wrong configuration is such an end too. */
export function recorderConfig(variables: Readonly<Record<string, string>>): RecorderConfig {
  const env = new Environment(variables, new Findings());
  return {
    terminationMessagePath: env.string("ATTACHE_TERMINATION_MESSAGE_PATH"),
    directory: env.string("ATTACHE_FLIGHT_RECORDER_DIR") || undefined,
  };
}
