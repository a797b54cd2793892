// SPDX-License-Identifier: Apache-2.0
import type { XdsFacts, XdsTypeFacts } from "../status/index.ts";
import type { AgentResourceStatus, Rejection, XdsProxy, XdsStatus, XdsTypeStatus } from "../xds/index.ts";

/**
 * The resource types of Envoy's stream, and those that the agent itself reads from it. A rejected type is listed even when
 * its stream has closed.
 */
export function readXdsFacts(xds: Pick<XdsProxy, "status">): XdsFacts {
  const { streams, rejected, cache, agentTypes } = xds.status();
  const stream = streams.find((candidate) => candidate.isEnvoy);
  const rejections = new Map(rejected.map((one) => [one.typeUrl, one]));
  const own = new Map(agentTypes.map((one) => [one.typeUrl, one]));
  const sent = (stream?.types ?? []).map((type) =>
    envoyType(type, rejections.get(type.typeUrl), own.get(type.typeUrl)),
  );
  const listed = new Set(sent.map(({ typeUrl }) => typeUrl));
  const closed = rejected.filter(({ typeUrl }) => !listed.has(typeUrl)).map(rejectedType);
  const agents = agentTypes
    .filter(({ typeUrl, isSubscribed }) => isSubscribed && !listed.has(typeUrl))
    .map((type) => agentType(type));
  return {
    connected: stream?.isConnected ?? false,
    types: [...sent, ...closed, ...agents],
    ...(cache === undefined ? {} : { cache }),
  };
}

/** The addresses of the configuration stand in until there was a connection. */
export function controlPlaneFacts({ controlPlane }: XdsStatus, configured: string) {
  return { ...controlPlane, address: controlPlane.address ?? configured };
}

/** @param own set where the agent converts responses before Envoy gets them, and may reject them */
function envoyType(
  type: XdsTypeStatus,
  rejection: Rejection | undefined,
  own: AgentResourceStatus | undefined,
): XdsTypeFacts {
  const { lastSentAtMs, lastAckedAtMs, resourceCount, ...facts } = type;
  const known = {
    ...facts,
    ...(lastSentAtMs === undefined ? {} : { lastSentAtMs }),
    ...(lastAckedAtMs === undefined ? {} : { lastAckedAtMs }),
    ...(resourceCount === undefined ? {} : { resourceCount }),
  };
  if (rejection !== undefined) {
    return {
      ...known,
      version: rejection.versionInUse || type.version,
      state: "NACKED",
      refusal: refusalOf(rejection),
    };
  }
  const rejectedByAgent = own?.rejection;
  if (rejectedByAgent === undefined) return known;
  return { ...known, state: "NACKED", refusal: { ...rejectedByAgent, resources: [] } };
}

function rejectedType(rejection: Rejection): XdsTypeFacts {
  const { typeUrl, versionInUse, versionRejected } = rejection;
  return {
    typeUrl,
    version: versionInUse,
    versionSent: versionRejected,
    state: "NACKED",
    refusal: refusalOf(rejection),
  };
}

function refusalOf({ versionRejected, sinceMs, resources, reason }: Rejection): NonNullable<XdsTypeFacts["refusal"]> {
  return { version: versionRejected, sinceMs, resources, reason };
}

function agentType(type: AgentResourceStatus): XdsTypeFacts {
  const { typeUrl, version, versionReceived, lastReceivedAtMs, lastAcceptedAtMs, rejection } = type;
  const accepted = lastAcceptedAtMs === undefined ? ("NOT SENT" as const) : ("SYNCED" as const);
  return {
    typeUrl,
    version,
    state: rejection === undefined ? accepted : "NACKED",
    versionSent: versionReceived,
    ...(lastReceivedAtMs === undefined ? {} : { lastSentAtMs: lastReceivedAtMs }),
    ...(lastAcceptedAtMs === undefined ? {} : { lastAckedAtMs: lastAcceptedAtMs }),
    readBy: "agent",
    ...(rejection === undefined ? {} : { refusal: { ...rejection, resources: [] } }),
  };
}
