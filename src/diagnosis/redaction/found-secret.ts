// SPDX-License-Identifier: Apache-2.0
import type { RemovalKind } from "./removals.ts";

/** Where a secret stands in a text. */
export interface FoundSecret {
  readonly start: number;
  /** The index behind it. */
  readonly end: number;
  readonly kind: RemovalKind;
  /** It may stand elsewhere without what gives it away here. */
  readonly isOpaque?: true;
}
