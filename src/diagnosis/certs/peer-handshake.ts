// SPDX-License-Identifier: Apache-2.0
import type { X509Certificate } from "node:crypto";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { abortReason, type Clock, DeadlineError, deadline } from "../../lib/async/clock.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import type { HostPort } from "../../lib/net/host-port.ts";
import type { ClientPair } from "./client-pair.ts";
import { ConnectionClosedError, explainConnectError, explainHandshakeError, type PeerFailure } from "./peer-failure.ts";
import { peerChain } from "../../lib/pki/peer-chain.ts";

export interface HandshakeOptions {
  readonly target: HostPort;
  /** The name in the ClientHello; undefined sends none. */
  readonly serverName: string | undefined;
  /** Undefined presents no certificate. */
  readonly client: ClientPair | undefined;
}

/** What a TLS handshake has shown. The peer's certificate is not judged. */
export interface Handshake {
  /** Undefined when the handshake was completed. */
  readonly failure: PeerFailure | undefined;
  /** As the peer sent it, leaf first; empty when it did not get so far. */
  readonly chain: readonly X509Certificate[];
  readonly tlsVersion: string | undefined;
  readonly cipher: string | undefined;
  /** Undefined when the peer chose none. */
  readonly alpn: string | undefined;
  readonly tookMs: number;
}

/**
 * Istio's listeners tell mutual TLS of the mesh from other TLS by the first; other servers choose one of the others.
 * Source: Istio's inbound filter chains, application_protocols
 */
export const offeredProtocols: readonly string[] = ["istio", "h2", "http/1.1"];

const timeoutMs = 5_000;
/** How long a peer may take to reject the client's certificate after a handshake of TLS 1.3, in which it comes last. */
const rejectionMs = 1_000;

/** Connects, and completes the handshake. Never throws, except the signal's reason. */
export async function shakeHands(options: HandshakeOptions, clock: Clock, signal: AbortSignal): Promise<Handshake> {
  const startMs = clock.monotonicMs();
  using limit = deadline(clock, timeoutMs, signal);
  const tookMs = (): number => Math.round(clock.monotonicMs() - startMs);
  let socket: Socket;
  try {
    socket = await connected(options.target, limit.signal);
  } catch (error) {
    signal.throwIfAborted();
    return { failure: explainConnectError(error, options.target), ...nothing, tookMs: tookMs() };
  }
  const tls = new SecuredSocket(socket, options);
  let secured = false;
  try {
    await orAborted(tls.secured, limit.signal);
    secured = true;
    const handshakeMs = tookMs();
    await tls.untilAccepted(clock, limit.signal);
    return { failure: undefined, ...tls.shown, tookMs: handshakeMs };
  } catch (error) {
    signal.throwIfAborted();
    const failure = explainHandshakeError(error, { presented: options.client !== undefined, secured });
    return { failure, ...tls.shown, tookMs: tookMs() };
  } finally {
    tls.socket.destroy();
  }
}

type Shown = Pick<Handshake, "chain" | "tlsVersion" | "cipher" | "alpn">;

/** What is known before a peer has shown anything. */
const nothing: Shown = { chain: [], tlsVersion: undefined, cipher: undefined, alpn: undefined };

async function connected({ host, port }: HostPort, signal: AbortSignal): Promise<Socket> {
  const socket = connectTcp({ host, port });
  socket.on("error", () => undefined);
  try {
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        reject(abortReason(signal));
      };
      signal.addEventListener("abort", onAbort, { once: true });
      socket.once("connect", resolve);
      socket.once("error", reject);
      if (signal.aborted) onAbort();
    });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** A TLS connection that is being made. */
class SecuredSocket {
  readonly socket: TLSSocket;
  shown = nothing;
  /** @throws what ended the handshake */
  readonly secured: Promise<void>;
  /** Resolves with the first thing that a peer sends only after it has verified the client. */
  readonly #accepted: Promise<void>;

  constructor(socket: Socket, { serverName, client }: HandshakeOptions) {
    this.socket = connectTls({
      socket,
      ...client?.tlsOptions(),
      ...(serverName === undefined || isIP(serverName) !== 0 ? {} : { servername: serverName }),
      ALPNProtocols: [...offeredProtocols],
      // The certificate is judged afterwards, as Envoy does it: by the roots of the peer's trust domain.
      rejectUnauthorized: false,
    });
    const failed = new Promise<never>((_resolve, reject) => {
      this.socket.once("error", reject);
      this.socket.once("close", () => {
        reject(new ConnectionClosedError("the peer closed the connection"));
      });
    });
    failed.catch(() => undefined);
    // Emitted before the end of the handshake: a peer that rejects the client has shown its own certificate by then.
    this.socket.prependListener("secure", () => {
      const { alpnProtocol } = this.socket;
      this.shown = {
        chain: peerChain(this.socket.getPeerX509Certificate()),
        tlsVersion: this.socket.getProtocol() ?? undefined,
        cipher: this.socket.getCipher().name,
        alpn: typeof alpnProtocol === "string" ? alpnProtocol : undefined,
      };
    });
    const secured = new Promise<void>((resolve) => this.socket.once("secureConnect", resolve));
    const accepted = new Promise<void>((resolve) => {
      this.socket.once("session", () => {
        resolve();
      });
      this.socket.once("data", () => {
        resolve();
      });
    });
    this.secured = Promise.race([secured, failed]);
    this.#accepted = Promise.race([accepted, failed]);
    this.#accepted.catch(() => undefined);
  }

  /** Waits for a rejection of the client, which TLS 1.3 reports after the handshake. @throws the rejection */
  async untilAccepted(clock: Clock, signal: AbortSignal): Promise<void> {
    if (this.shown.tlsVersion !== "TLSv1.3") return;
    using limit = deadline(clock, rejectionMs, signal);
    try {
      await orAborted(this.#accepted, limit.signal);
    } catch (error) {
      // A peer that waits for the client to speak has not rejected it.
      if (!(error instanceof DeadlineError)) throw error;
    }
  }
}
