// SPDX-License-Identifier: Apache-2.0

/** How long the parts of a scrape may take, so that the answer arrives before the scraper gives up. */
export interface ScrapeBudget {
  /** For one target to have sent its whole body, or as much of a large one as is kept before its turn comes. */
  readonly targetMs: number;
  /** For the whole answer. */
  readonly answerMs: number;
}

const defaultMs = 3_000;
/** Kept back for the way to the scraper. */
const marginMs = 200;

/**
 * @param timeoutSeconds `X-Prometheus-Scrape-Timeout-Seconds` as it came: seconds with a fraction. What is no number
 * counts as missing.
 */
export function scrapeBudget(timeoutSeconds: string | undefined): ScrapeBudget {
  const given = Number.parseFloat(timeoutSeconds ?? "") * 1_000;
  const usable = Number.isFinite(given) && given >= 0;
  const answerMs = usable ? Math.max(0, given - Math.min(marginMs, given * 0.1)) : defaultMs;
  return { answerMs, targetMs: answerMs * 0.85 };
}
