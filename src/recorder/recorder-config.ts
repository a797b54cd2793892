// SPDX-License-Identifier: Apache-2.0

/** Where the account of an abnormal end is left. */
export interface RecorderConfig {
  /** Kubernetes shows what is in this file as the container's termination message; 4,096 bytes of it. Empty: none. */
  readonly terminationMessagePath: string | undefined;
  /** A folder for whole accounts, one file an end; undefined keeps none. */
  readonly directory: string | undefined;
}
