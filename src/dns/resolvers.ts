// SPDX-License-Identifier: Apache-2.0
import type { Deps } from "../lib/deps.ts";
import { describeError } from "../lib/errors.ts";
import { watchFiles } from "../lib/fs/file-watch.ts";
import type { Logger } from "../lib/log/log.ts";
import { startTask } from "../lib/async/tasks.ts";
import { readResolvConf, type ResolvConf } from "./resolv-conf.ts";

/** The resolvers as the file has them now. */
export interface Resolvers extends AsyncDisposable {
  readonly current: ResolvConf;
}

const debounceMs = 100;
const pollMs = 30_000;

/**
 * Follows the file. One that cannot be read any more changes nothing.
 * @throws ResolvConfError when it cannot be read at first
 */
export async function followResolvers(
  paths: readonly string[],
  { log, clock, fail }: Pick<Deps, "log" | "clock" | "fail">,
): Promise<Resolvers> {
  let current = await readResolvConf(paths);
  tell(log, "resolvers", current);
  const task = startTask(async (signal) => {
    let isGone = false;
    for await (const _ of watchFiles(paths, { clock, debounceMs, pollMs }, signal)) {
      try {
        const read = await readResolvConf(paths);
        if (!isEqual(read, current)) tell(log, "resolvers changed", read);
        current = read;
        isGone = false;
      } catch (error) {
        if (!isGone) log.warn("the resolvers cannot be read; those of before stay", { reason: describeError(error) });
        isGone = true;
      }
    }
  }, fail);
  return {
    get current() {
      return current;
    },
    [Symbol.asyncDispose]: () => task[Symbol.asyncDispose](),
  };
}

function tell(log: Logger, message: "resolvers" | "resolvers changed", { servers, searchDomain }: ResolvConf): void {
  log.info(message, { servers, searchDomain });
  if (servers.length === 0) log.warn("no resolver is named, so only names of the mesh resolve");
}

function isEqual(left: ResolvConf, right: ResolvConf): boolean {
  return left.searchDomain === right.searchDomain && left.servers.join() === right.servers.join();
}
