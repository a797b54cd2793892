// SPDX-License-Identifier: Apache-2.0
export type { DnsConfig } from "./dns-config.ts";
export { createNames, type Names } from "./names.ts";
