// SPDX-License-Identifier: Apache-2.0

/** An endpoint that serves metrics. */
export interface ScrapeTarget {
  /** `localhost` unless the application listens elsewhere. */
  readonly host: string;
  /** Certificates are not verified: the target is in the same pod. */
  readonly scheme: "http" | "https";
  readonly port: number;
  /** With its query. */
  readonly path: string;
}

/** What a merged scrape contains besides the agent's own metrics. */
export interface ScrapeConfig {
  /** Port of Envoy's metrics; undefined leaves them out. */
  readonly envoyPort: number | undefined;
  /** The application's endpoints, in the order of their metrics. */
  readonly targets: readonly ScrapeTarget[];
}
