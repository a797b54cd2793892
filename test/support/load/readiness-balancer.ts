// SPDX-License-Identifier: Apache-2.0
import { request } from "node:http";
import { eventually } from "../eventually.ts";

/** An endpoint: where it serves, and where it says whether it is ready. */
export interface BalancedEndpoint {
  readonly inbound: number;
  readonly status: number;
}

/** Shares requests out among the endpoints that are ready, as a mesh does that follows readiness. */
export interface ReadinessBalancer extends AsyncDisposable {
  add(endpoint: BalancedEndpoint): void;
  remove(endpoint: BalancedEndpoint): void;
  /** The port of the endpoint whose turn it is. */
  pick(): number | undefined;
  untilReady(count: number): Promise<void>;
}

const lookEveryMs = 50;

export function startReadinessBalancer(): ReadinessBalancer {
  const ready = new Map<number, boolean>();
  const endpoints = new Map<number, BalancedEndpoint>();
  let turn = 0;
  const look = (): void => {
    for (const { inbound, status } of endpoints.values()) {
      void isReady(status).then((is) => {
        if (endpoints.has(inbound)) ready.set(inbound, is);
      });
    }
  };
  const timer = setInterval(look, lookEveryMs);
  const readyPorts = (): readonly number[] => [...ready].filter(([, is]) => is).map(([port]) => port);
  return {
    add(endpoint) {
      endpoints.set(endpoint.inbound, endpoint);
    },
    remove({ inbound }) {
      endpoints.delete(inbound);
      ready.delete(inbound);
    },
    pick() {
      const ports = readyPorts();
      return ports[turn++ % ports.length];
    },
    untilReady: (count) =>
      eventually(
        () => {
          if (readyPorts().length < count)
            throw new Error(`${String(readyPorts().length)} of ${String(count)} are ready`);
        },
        { withinMs: 10_000 },
      ),
    [Symbol.asyncDispose]() {
      clearInterval(timer);
      return Promise.resolve();
    },
  };
}

function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request(
      { host: "127.0.0.1", port, path: "/healthz/ready", agent: false, timeout: 1_000 },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200);
      },
    );
    asked.on("error", () => {
      resolve(false);
    });
    asked.end();
  });
}
