// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { parse, stringify } from "yaml";
import { type App, startApiApp, startWebApp } from "../../../src/dev/apps.ts";
import { EnvoyAdmin } from "../../../src/dev/envoy-admin.ts";
import {
  assignPorts,
  type MeshPorts,
  portCount,
  spiffeIdOf,
  type WorkloadName,
  workloadNames,
} from "../../../src/dev/mesh.ts";
import { installResource, installResources, placeholdersOf } from "../../../src/dev/resources.ts";
import { writeFileAtomicSync } from "../../../src/lib/fs/atomic-file.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { loopback, requestHttp } from "../../../src/lib/net/http-client.ts";
import { envoyBinary } from "../../support/envoy-binary.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { createOpensslPki, type OpensslPki } from "../../support/openssl-pki.ts";

export const resources = join(import.meta.dirname, "../../../examples/dev");

/** The demo's two Envoys with its resources; certificates come from files instead of agents. */
export interface BareMesh extends AsyncDisposable {
  readonly ports: MeshPorts;
  readonly apps: Readonly<Record<WorkloadName, App>>;
  readonly admin: Readonly<Record<WorkloadName, EnvoyAdmin>>;
  /** A new certificate for a workload, as if its agent had rotated it. */
  rotate(workload: WorkloadName, from?: OpensslPki): Promise<void>;
  /** Puts one resource file in place again, with its text changed. */
  edit(workload: WorkloadName, file: string, change: (text: string) => string): Promise<void>;
}

const signal = AbortSignal.timeout(60_000);

export async function startBareMesh(directory: string): Promise<BareMesh> {
  await using stack = new AsyncDisposableStack();
  const ca = join(directory, "pki");
  await mkdir(ca);
  const pki = await createOpensslPki(ca);
  const outbound = { port: 0 };
  const apps = {
    api: stack.use(await startApiApp()),
    web: stack.use(await startWebApp((path) => loopback(outbound.port, path), systemClock)),
  };
  const ports = assignPorts(await freePorts(portCount), { api: apps.api.port, web: apps.web.port });
  outbound.port = ports.web.envoy;
  const folder = (workload: WorkloadName): string => join(directory, workload);
  const rotate = async (workload: WorkloadName, from = pki): Promise<void> => {
    writeSecrets(folder(workload), await from.issue(spiffeIdOf(workload)), from.rootPem);
  };
  for (const workload of workloadNames) {
    await mkdir(folder(workload));
    await rotate(workload);
    await installResources(resources, folder(workload), workload, placeholdersOf(ports, folder(workload)));
    for (const file of ["lds.yaml", "cds.yaml"]) await takeSecretsFromFiles(folder(workload), file);
    stack.use(startEnvoy(folder(workload), ports[workload].admin));
  }
  const admin = { web: new EnvoyAdmin(ports.web.admin), api: new EnvoyAdmin(ports.api.admin) };
  await eventually(
    async () => {
      for (const workload of workloadNames) {
        const answer = await requestHttp({ url: loopback(ports[workload].admin, "/ready") }, signal);
        if (answer.status !== 200) throw new Error(`Envoy of ${workload}: ${answer.text()}`);
      }
    },
    { withinMs: 10_000 },
  );
  const owned = stack.move();
  return {
    ports,
    apps,
    admin,
    rotate,
    async edit(workload, file, change) {
      const edited = join(directory, `edited-${file}`);
      writeFileAtomicSync(edited, change(await readFile(join(resources, workload, file), "utf8")), 0o600);
      const placeholders = placeholdersOf(ports, folder(workload));
      await installResource(edited, join(folder(workload), file), placeholders);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Points every SDS subscription of a resource file at files, which is the only thing that agents would do else. */
async function takeSecretsFromFiles(folder: string, file: string): Promise<void> {
  const path = join(folder, file);
  const text = stringify(replaceSds(parse(await readFile(path, "utf8")), folder), { aliasDuplicateObjects: false });
  writeFileAtomicSync(path, text, 0o600);
}

function replaceSds(value: unknown, folder: string): unknown {
  if (Array.isArray(value)) return value.map((item) => replaceSds(item, folder));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, replaceSds(inner, folder)] as const);
  const replaced = Object.fromEntries(entries);
  if ("sds_config" in replaced) {
    const path = join(folder, `secret-${String(replaced["name"])}.yaml`);
    replaced["sds_config"] = { resource_api_version: "V3", path_config_source: { path } };
  }
  return replaced;
}

function writeSecrets(folder: string, issued: { chainPem: string; keyPem: string }, rootPem: string): void {
  const secret = (name: string, body: object): void => {
    const type = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    const text = stringify({ resources: [{ "@type": type, name, ...body }] });
    writeFileAtomicSync(join(folder, `secret-${name}.yaml`), text, 0o600);
  };
  secret("default", {
    tls_certificate: {
      certificate_chain: { inline_string: issued.chainPem },
      private_key: { inline_string: issued.keyPem },
    },
  });
  secret("ROOTCA", { validation_context: { trusted_ca: { inline_string: rootPem } } });
}

function startEnvoy(folder: string, adminPort: number): AsyncDisposable {
  const files = (kind: string): object => ({
    resource_api_version: "V3",
    path_config_source: { path: join(folder, `${kind}.yaml`) },
  });
  const bootstrap = stringify({
    node: { id: "test", cluster: "test" },
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: adminPort } } },
    dynamic_resources: { lds_config: files("lds"), cds_config: files("cds") },
  });
  writeFileAtomicSync(join(folder, "bootstrap.yaml"), bootstrap, 0o600);
  const args = ["-c", join(folder, "bootstrap.yaml"), "--disable-hot-restart", "-l", "warning", "--concurrency", "1"];
  const child = execa(envoyBinary(), args, { reject: false, stdio: "ignore" });
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child;
    },
  };
}
