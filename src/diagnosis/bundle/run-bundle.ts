// SPDX-License-Identifier: Apache-2.0
import { hostname } from "node:os";
import { resolve } from "node:path";
import { type Clock, deadline } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { AgentClient } from "../agent-client.ts";
import { readConfigOf } from "../read-config.ts";
import { BundleError } from "./bundle-error.ts";
import { type ArchiveOutput, openArchiveFile, standardOutput } from "./archive/archive-file.ts";
import { Spool } from "./archive/spool.ts";
import type { TarFile } from "./archive/tar.ts";
import { writeArchive } from "./archive/write-archive.ts";
import { type CollectedPart, collectGroups, isKept } from "./collect.ts";
import { createManifest, type ManifestPart, renderReadme, roundSeconds } from "./manifest.ts";
import type { Bundle, BundleOptions } from "./bundle-options.ts";
import { planGroups } from "./plan.ts";
import { KnownSecrets } from "../redaction/known-secrets.ts";
import { LiteralFilter } from "../redaction/literal-filter.ts";
import { Removals } from "../redaction/removals.ts";
import { redactText } from "../redaction/secret-text.ts";
import { readKnownSecrets } from "./secret-sources.ts";

/** Of all parts together. What is there by then is written, which takes seconds for a large mesh. */
const withinMs = 25_000;

/**
 * Collects everything, redacts it and writes one archive. A part that cannot be had is named in the manifest.
 * @throws BundleError when the archive cannot be written, or when it is stopped; nothing is left behind then
 */
export async function runBundle(options: BundleOptions, clock: Clock, stop: AbortSignal): Promise<Bundle> {
  try {
    return await collectAndWrite(options, clock, stop);
  } catch (error) {
    if (!stop.aborted) throw error;
    throw new BundleError(`no archive was written: ${describeError(stop.reason)}`, { cause: error });
  }
}

async function collectAndWrite(options: BundleOptions, clock: Clock, stop: AbortSignal): Promise<Bundle> {
  const startMs = clock.monotonicMs();
  const nowMs = clock.now();
  const { env, args, url, maxBytes } = options;
  const subject = options.isRemote ? url.hostname : env["POD_NAME"] || hostname();
  const name = `attache-bundle-${subject.replaceAll(/[^\w.-]/g, "_").slice(0, 80)}-${compactTime(nowMs)}`;
  await using output = await openOutput(options, `${name}.tar.gz`);
  using limit = deadline(clock, withinMs, stop);
  const { config } = await readConfigOf(env, args, limit.signal);
  const secrets = new KnownSecrets();
  if (!options.isRemote) await readKnownSecrets(env, config, secrets);
  const client = new AgentClient(url, clock);
  const groups = planGroups({ ...options, config, client, clock }, limit.signal);
  const collected = await collectGroups(
    groups,
    {
      clock,
      maxBytes,
      secrets,
      onCollected: ({ part, status, reason, content, durationMs }) => {
        options.onPart({ file: part.file, status, reason, bytes: content.bytes, seconds: roundSeconds(durationMs) });
      },
    },
    limit.signal,
  );
  stop.throwIfAborted();
  const files = finishParts(collected, secrets.forms(), maxBytes);
  const manifest = createManifest({
    nowMs,
    subject,
    agentAddress: url.host,
    durationMs: clock.monotonicMs() - startMs,
    maxBytes,
    parts: files.map(({ entry }) => entry),
  });
  const texts = [
    ["README.txt", renderReadme(manifest)],
    ["MANIFEST.json", `${JSON.stringify(manifest, undefined, 2)}\n`],
  ] as const;
  const own = texts.map(([file, text]) => ({ file, content: filtered(spoolOf(text), secrets.forms()).content }));
  const kept = files
    .filter(({ entry }) => isKept(entry.status))
    .map(({ entry, content }) => ({ file: entry.file, content }));
  const bytes = await writeArchive(
    [...own, ...kept].map(({ file, content }) => tarFile(`${name}/${file}`, content, nowMs)),
    output,
  );
  await output.finish();
  return { file: output.name, bytes, manifest };
}

async function openOutput({ file, folder, print }: BundleOptions, name: string): Promise<ArchiveOutput> {
  if (file === "-") return standardOutput(print);
  const path = file === "" ? name : file;
  return await openArchiveFile(folder === process.cwd() ? path : resolve(folder, path));
}

interface FinishedPart {
  readonly entry: ManifestPart;
  readonly content: Spool;
}

/** Removes known secrets, and the parts that do not fit any more. */
function finishParts(
  collected: readonly CollectedPart[],
  literals: readonly string[],
  maxBytes: number,
): readonly FinishedPart[] {
  let left = maxBytes;
  return collected.map(({ part, status, reason, durationMs, content, removals }): FinishedPart => {
    const { content: clean, count } = filtered(content, literals);
    const fits = clean.bytes <= left;
    const { file, about, source } = part;
    const why = filteredText(fits ? reason : "it does not fit into the size limit; see --max-size", literals);
    if (fits) left -= clean.bytes;
    const entry = {
      file,
      about,
      source: filteredText(source, literals),
      status: fits ? status : "skipped",
      ...(why === "" ? {} : { reason: why }),
      bytes: fits ? clean.bytes : 0,
      seconds: roundSeconds(durationMs),
      removed: { ...removals.counts(), ...(count > 0 ? { "known-secret": count } : {}) },
    } as const;
    return { entry, content: fits ? clean : new Spool() };
  });
}

function filtered(content: Spool, literals: readonly string[]): { readonly content: Spool; readonly count: number } {
  const filter = new LiteralFilter(literals);
  const clean = new Spool();
  for (const chunk of content.chunks()) clean.write(filter.feed(chunk));
  clean.write(filter.end());
  return { content: clean, count: filter.count };
}

/** Text of ours that may have text of others in it: arguments, error messages. */
function filteredText(text: string, literals: readonly string[]): string {
  return filtered(spoolOf(redactText(text, new Removals())), literals).content.text();
}

function spoolOf(text: string): Spool {
  const spool = new Spool();
  spool.write(text);
  return spool;
}

function tarFile(name: string, content: Spool, modifiedAtMs: number): TarFile {
  return { name, bytes: content.bytes, modifiedAtMs, chunks: () => content.chunks() };
}

/** `20261201T103000Z` */
function compactTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+/, "").replaceAll(/[-:]/g, "");
}
