// SPDX-License-Identifier: Apache-2.0

/** Facts about the machine from its cloud's metadata server. */
export interface PlatformConfig {
  /** `none` asks nobody; `detect` takes the first cloud that answers. */
  readonly kind: "detect" | "aws" | "azure" | "gcp" | "none";
  /** True when the node's locality waits for the answer. */
  readonly localityNeeded: boolean;
  readonly waitMs: number;
  /** Host, or host and port. `GCE_METADATA_HOST` */
  readonly gceMetadataHost: string;
  /** The pod has an IPv6 address: the servers' IPv6 addresses are asked where there are such. */
  readonly ipv6: boolean;
}
