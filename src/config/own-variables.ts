// SPDX-License-Identifier: Apache-2.0
import { type VariableSpec, row } from "./variable-spec.ts";

const own = { source: "attache" } as const;

/** Variables that the reference does not have. */
export const ownVariables = {
  ATTACHE_XDS_FILES: row(
    "string",
    "",
    "directory with lds.yaml and cds.yaml; Envoy reads them, no control plane is asked",
    own,
  ),
  ATTACHE_CA_TIMEOUT: row("duration", "10s", "limit of one try at the CA", own),
  ATTACHE_CA_SERVER_NAME: row("string", "", "server name of the CA, where it is not the host of its address", own),
  ATTACHE_CA_REFUSED_EXIT_AFTER: row(
    "duration",
    "10m",
    "without a certificate and refused for this long, the agent ends; 0 never",
    own,
  ),
  ATTACHE_ROTATION_FLOOR: row("duration", "1s", "least time between two rotations of the certificate", own),
  ATTACHE_IDENTITY_CACHE: row(
    "string",
    "",
    "directory, best in memory, that keeps the certificate over a restart of the agent",
    own,
  ),
  ATTACHE_OUTPUT_CERTS_KEY_MODE: row("string", "0600", "mode of the key that is written into OUTPUT_CERTS, octal", own),
  ATTACHE_READINESS: row(
    "string",
    "compatible",
    "strict lets every answer tell Envoy's state; compatible only until it was live once",
    own,
  ),
  ATTACHE_TERMINATION_GRACE: row(
    "int",
    "0",
    "the pod's terminationGracePeriodSeconds; Envoy is ended a second before; 0 is not set",
    {
      unit: "seconds",
      source: "attache",
    },
  ),
  ATTACHE_SDS_SOCKET_MODE: row(
    "string",
    "",
    "mode of the SDS and xDS sockets, octal; when empty 0600, or 0666 if Envoy runs as another user",
    own,
  ),
  ATTACHE_SDS_FILE_DIRECTORIES: row(
    "string",
    "",
    "more directories, colon separated, from which file secrets are served",
    own,
  ),
  ATTACHE_PLATFORM_WAIT: row(
    "duration",
    "250ms",
    "how long Envoy waits for the cloud's locality, where the node needs it",
    own,
  ),
  ATTACHE_ENVOY_RESTARTS: row("int", "0", "how often within a minute an Envoy that ended is started again", own),
  ATTACHE_HOT_RESTART: row("bool", "false", "a new Envoy takes over from the running one", own),
  ATTACHE_HOT_RESTART_BASE_ID: row(
    "int",
    "-1",
    "Envoy's base id; when negative derived from the configuration path",
    own,
  ),
  ATTACHE_HOT_RESTART_TIMEOUT: row("duration", "10s", "time for a new Envoy to be live", own),
  ATTACHE_TERMINATION_MESSAGE_PATH: row(
    "string",
    "/dev/termination-log",
    "file for the reason of the end, where it exists",
    own,
  ),
  ATTACHE_FLIGHT_RECORDER_DIR: row(
    "string",
    "",
    "directory for what was known when Envoy crashed; empty writes nothing",
    own,
  ),
  ATTACHE_XDS_CACHE: row("string", "", "directory for what Envoy accepted, for a start without a control plane", own),
  ATTACHE_XDS_CACHE_AFTER: row("duration", "1s", "silence of the control plane after which the cache is served", own),
  ATTACHE_XDS_CACHE_MAX_AGE: row("duration", "168h", "age from which the cache is not used", own),
} as const satisfies Readonly<Record<string, VariableSpec>>;
