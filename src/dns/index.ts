// SPDX-License-Identifier: Apache-2.0
export type { DnsConfig } from "./dns-config.ts";
export { type DnsMetrics, type DnsProxy, startDnsProxy } from "./dns-proxy.ts";
export { createNames, type Names } from "./names.ts";
