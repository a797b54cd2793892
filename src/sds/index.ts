// SPDX-License-Identifier: Apache-2.0
export { serveSds } from "./serve-sds.ts";
export type * from "./types.ts";

export type { SdsClient, SdsSecret } from "./sds-client.ts";

/** Loads the client, which only commands use. */
export async function loadSdsClient(): Promise<typeof import("./sds-client.ts")> {
  return await import("./sds-client.ts");
}
