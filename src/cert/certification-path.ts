// SPDX-License-Identifier: Apache-2.0
import type { X509Certificate } from "node:crypto";
import { ResponseError } from "./errors.ts";
import { type CertificatePurpose, findPathProblem } from "./path-validation.ts";
import type { ReadCertificate } from "./read-certificate.ts";

export interface PathOptions {
  /** Wall clock, milliseconds. */
  readonly nowMs: number;
  /** How far in the future a certificate may begin. */
  readonly maxSkewMs: number;
  /**
   * `as-given`: the path that peers take, which use the first issuer that they find. `any-order`: any path, because the
   * caller puts its certificates first.
   */
  readonly search: "as-given" | "any-order";
  /** What the certificates must be good for: a workload is server and client. Default `workload`. */
  readonly purpose?: CertificatePurpose;
}

/** No real path is longer; the limit ends a loop of issuers. */
const maxPathLength = 10;
/** Each takes some 0.1 ms of the event loop. Only certificates of the issuer's name and key identifier are verified. */
const maxVerifications = 64;

/**
 * Finds the path from the leaf through the intermediates to a trust anchor, and checks it as peers will.
 * @returns leaf first, the trust anchor last
 * @throws ResponseError: untrusted when there is no path, invalid-path when peers would reject it
 */
export function findPath(
  leaf: ReadCertificate,
  intermediates: readonly ReadCertificate[],
  roots: readonly ReadCertificate[],
  options: PathOptions,
): readonly ReadCertificate[] {
  const search = new PathSearch(intermediates, roots, options);
  const path = search.from([leaf]);
  if (path !== undefined) return path;
  if (search.problem !== undefined) {
    throw new ResponseError("invalid-path", `peers would reject the certificate: ${search.problem}`);
  }
  const issuer = JSON.stringify((search.deadEnd ?? leaf).x509.issuer.replaceAll("\n", ", ").slice(0, 200));
  const text = `the chain does not lead to any of the given roots; no valid certificate of the issuer ${issuer} came with it`;
  throw new ResponseError("untrusted", text);
}

class PathSearch {
  /** What is wrong with the first path to a trust anchor. */
  problem: string | undefined;
  /** Where the first path without a trust anchor ended. */
  deadEnd: ReadCertificate | undefined;
  readonly #intermediates: readonly ReadCertificate[];
  readonly #roots: readonly ReadCertificate[];
  readonly #options: PathOptions;
  #verifications = 0;

  constructor(intermediates: readonly ReadCertificate[], roots: readonly ReadCertificate[], options: PathOptions) {
    this.#intermediates = intermediates;
    this.#roots = roots;
    this.#options = options;
  }

  /** @param path the part of the path that is known */
  from(path: readonly ReadCertificate[]): readonly ReadCertificate[] | undefined {
    const last = path.at(-1);
    if (last === undefined || path.length > maxPathLength) return undefined;
    let isDeadEnd = true;
    for (const next of this.#issuersOf(last.x509, path)) {
      isDeadEnd = false;
      const found = this.#roots.includes(next) ? this.#check([...path, next]) : this.from([...path, next]);
      if (found !== undefined || this.#options.search === "as-given") return found;
    }
    if (isDeadEnd) this.deadEnd ??= last;
    return undefined;
  }

  /** Trust anchors first, as peers look for them. */
  *#issuersOf(subject: X509Certificate, path: readonly ReadCertificate[]): Generator<ReadCertificate, void, undefined> {
    for (const candidate of [...this.#roots, ...this.#intermediates]) {
      if (path.includes(candidate) || !subject.checkIssued(candidate.x509)) continue;
      if (!this.#isValid(candidate)) {
        // Peers use it all the same, and then reject the path.
        if (this.#options.search === "as-given" && !this.#roots.includes(candidate)) return;
        continue;
      }
      if (!candidate.x509.ca || ++this.#verifications > maxVerifications) continue;
      if (subject.verify(candidate.x509.publicKey)) yield candidate;
    }
  }

  #isValid({ notBeforeMs, notAfterMs }: ReadCertificate): boolean {
    const { nowMs, maxSkewMs } = this.#options;
    return notAfterMs > nowMs && notBeforeMs <= nowMs + maxSkewMs;
  }

  #check(path: readonly ReadCertificate[]): readonly ReadCertificate[] | undefined {
    const problem = findPathProblem(path, this.#options.purpose);
    if (problem === undefined) return path;
    this.problem ??= problem;
    return undefined;
  }
}
