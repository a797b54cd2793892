// SPDX-License-Identifier: Apache-2.0
import { Agent, request } from "node:http";
import { isIPv6 } from "node:net";
import type { ProbeOutcome, ProbeRequest, ProbeSettings } from "./probe-outcome.ts";
import type { HttpsRequester } from "./https-probe.ts";
import { failedProbe, probeAddress } from "./probe-address.ts";
import { askReusing, maxHeaderBytes, type ProbeAnswer } from "./probe-answer.ts";
import { appAuthority, copiedHeaders } from "./probe-headers.ts";
import { nextRedirect } from "./probe-redirect.ts";
import type { AppProbeHandler } from "./status-config.ts";

type HttpHandler = Extract<AppProbeHandler, { kind: "http" }>;

export interface HttpProber extends Disposable {
  probe(handler: HttpHandler, request: ProbeRequest, signal: AbortSignal): Promise<ProbeOutcome>;
}

/** Makes HTTP and HTTPS probes. What certificate the application has is not looked at, as the kubelet does not. */
export function createHttpProber(settings: ProbeSettings): HttpProber {
  const keep = settings.probeKeepalive ? new Agent({ keepAlive: true, timeout: 90_000 }) : undefined;
  let https: Promise<HttpsRequester> | undefined;

  async function ask(url: URL, path: string, headers: readonly string[], signal: AbortSignal): Promise<ProbeAnswer> {
    const address = { ...probeAddress(settings), port: portOf(url) };
    if (url.protocol === "http:") {
      const tolerant = { insecureHTTPParser: true, maxHeaderSize: maxHeaderBytes };
      const options = { ...address, ...tolerant, method: "GET", path, headers, signal };
      return await askReusing(() => request({ ...options, agent: keep ?? false }), signal);
    }
    https ??= import("./https-probe.ts").then(({ createHttpsRequester }) => createHttpsRequester(settings));
    return await (await https).ask({ address, path, headers, signal });
  }

  async function follow(handler: HttpHandler, kubelet: ProbeRequest, signal: AbortSignal): Promise<ProbeOutcome> {
    const authority = `${urlHost(settings.appHost)}:${String(handler.port)}`;
    let url = new URL(`${handler.scheme}://${authority}`);
    let path = requestPath(handler.path);
    let host = appAuthority(kubelet.headers.host, { statusPort: settings.port, appPort: handler.port, authority });
    const copied = copiedHeaders(kubelet, settings.probeKeepalive);
    for (let requestsMade = 1; ; requestsMade++) {
      const answer = await ask(url, path, ["Host", host, ...copied], signal);
      if (answer.status < 300 || answer.status > 399) return { kind: "answered", ...answer };
      const step = nextRedirect(answer.status, answer.location, url, requestsMade);
      if (step.kind === "stop") return { kind: "answered", status: 200, body: new Uint8Array() };
      if (step.kind === "refuse") return { kind: "failed", side: "app", reason: step.reason };
      if (step.absolute) host = step.url.host;
      url = step.url;
      path = `${url.pathname}${url.search}`;
    }
  }

  return {
    async probe(handler, kubelet, signal) {
      try {
        return await follow(handler, kubelet, signal);
      } catch (error) {
        return failedProbe(error, signal);
      }
    },
    [Symbol.dispose]() {
      keep?.destroy();
      void https?.then((requester) => {
        requester[Symbol.dispose]();
      });
    },
  };
}

function urlHost(host: string): string {
  if (host === "") return "localhost";
  return isIPv6(host) ? `[${host}]` : host;
}

function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}

/** The configured path as it can stand on a request line: nothing folded, what is not allowed there encoded. */
function requestPath(path: string): string {
  const [beforeFragment = ""] = path.split("#");
  const absolute = beforeFragment.startsWith("/") ? beforeFragment : `/${beforeFragment}`;
  return absolute.replaceAll(/[^\x21-\x7e]+/g, encodeURI);
}
