// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, existsSync } from "node:fs";
import { resolve } from "node:path";

/** Another agent with the same command line, files and variables, which is measured beside this one. */
export interface Peer {
  /** Its program. It is only run. */
  readonly path: string;
  /** The template that it makes Envoy's bootstrap from, if it needs one. */
  readonly templatePath: string | undefined;
}

/**
 * `BENCH_PEER` names a pilot-agent, `BENCH_PEER_TEMPLATE` the template of its bootstrap.
 * @returns undefined when there is none
 * @throws when what is named cannot be run
 */
export function findPeer(): Peer | undefined {
  const named = process.env["BENCH_PEER"];
  if (named === undefined || named === "") return undefined;
  const path = resolve(named);
  accessSync(path, constants.X_OK);
  const template = process.env["BENCH_PEER_TEMPLATE"];
  if (template !== undefined && !existsSync(template)) throw new Error(`BENCH_PEER_TEMPLATE: no file ${template}`);
  return { path, templatePath: template === undefined ? undefined : resolve(template) };
}
