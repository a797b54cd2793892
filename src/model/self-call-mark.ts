// SPDX-License-Identifier: Apache-2.0

/** Mark of what Envoy sends over `lo` to an address of the pod, which has to pass the inbound rules. No option may be it. */
export const selfCallMark = 1338;
