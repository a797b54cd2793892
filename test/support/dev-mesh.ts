// SPDX-License-Identifier: Apache-2.0
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "./eventually.ts";
import { startPod } from "./pod.ts";
import { startProgram } from "./program.ts";
import { projectRoot } from "./run-program.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** The mesh of `attache dev`: two pods with a control plane, whose resources a test may change; and a third pod. */
export interface DevMesh extends AsyncDisposable {
  readonly directory: string;
  readonly resources: string;
  /** Status ports, and Envoy's admin port of the first. */
  readonly web: string;
  readonly webAdmin: string;
  readonly api: string;
  readonly third: string;
}

export async function startDevMesh(): Promise<DevMesh> {
  await using stack = new AsyncDisposableStack();
  const { path: directory } = stack.use(await temporaryDirectory());
  const resources = join(directory, "resources");
  await cp(join(projectRoot, "examples/dev"), resources, { recursive: true });
  const program = stack.use(startProgram(["dev", "--resources", resources]));
  const ca = stack.use(await startFakeCa());
  const pod = stack.use(await startPod({ ca }));
  await pod.untilReady();
  const rows = await eventually(
    () => {
      const { stdout } = program.output();
      if (!stdout.includes("Ctrl-C")) throw new Error(stdout);
      return stdout.split("\n").filter((line) => /^ {2}(web|api) +spiffe/.test(line));
    },
    { withinMs: 40_000 },
  );
  const columnsOf = (name: string): readonly string[] => {
    const row = rows.find((line) => line.trim().startsWith(name));
    return row === undefined ? [] : row.trim().split(/ +/);
  };
  const [web, api] = [columnsOf("web"), columnsOf("api")];
  stack.defer(async () => {
    program.kill("SIGINT");
    await program.exited;
  });
  const owned = stack.move();
  return {
    ...{ directory, resources, web: web[7] ?? "", webAdmin: web[6] ?? "", api: api[7] ?? "" },
    third: String(pod.ports.status),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
