// SPDX-License-Identifier: Apache-2.0
export { serveSds } from "./serve-sds.ts";
export type * from "./types.ts";
