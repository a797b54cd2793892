// SPDX-License-Identifier: Apache-2.0
import type { FlagSpec } from "../../lib/flags.ts";
import { globalFlags } from "../sources/flags.ts";

/** A flag of `istio-iptables`, and the variables that are its default: the first one that is set. */
export interface InterceptionSetting extends FlagSpec {
  readonly variables: readonly string[];
}

type Type = "string" | "bool" | "int";

function setting<T extends Type>(type: T, fallback: string, meaning: string, variables: string, short = "") {
  const shortName = short === "" ? {} : { short };
  return {
    type,
    default: fallback,
    meaning,
    variables: variables.split(" ").filter((name) => name !== ""),
    ...shortName,
  };
}

/**
 * Flags of `istio-iptables`, in the order of the help. A flag that is given counts more than a variable; a variable that
 * is empty is not set.
 * Source: Istio's `istio-iptables`; ENVOY_PORT and ISTIO_INBOUND_EXCLUDE_PORTS are in its documentation only
 */
export const interceptionSettings = {
  "envoy-port": setting("int", "15001", "Envoy's port for outbound connections", "ENVOY_PORT", "p"),
  "inbound-capture-port": setting("int", "15006", "Envoy's port for inbound connections", "INBOUND_CAPTURE_PORT", "z"),
  "inbound-tunnel-port": setting(
    "int",
    "15008",
    "Envoy's port for tunnelled inbound connections (HBONE), which are not captured",
    "INBOUND_TUNNEL_PORT",
    "e",
  ),
  "proxy-uid": setting(
    "string",
    "",
    "users whose packets are not captured, comma separated; if empty, that of ENVOY_USER, else 1337",
    "PROXY_UID",
    "u",
  ),
  "proxy-gid": setting(
    "string",
    "",
    "groups whose packets are not captured, comma separated; if empty, the same numbers as the users",
    "PROXY_GID",
    "g",
  ),
  "istio-inbound-interception-mode": setting(
    "string",
    "",
    "REDIRECT, or TPROXY to keep the source address; empty is REDIRECT",
    "ISTIO_INBOUND_INTERCEPTION_MODE",
    "m",
  ),
  "istio-inbound-ports": setting(
    "string",
    "",
    "inbound ports to capture, comma separated; * for all; empty for none",
    "ISTIO_INBOUND_PORTS",
    "b",
  ),
  "istio-local-exclude-ports": setting(
    "string",
    "",
    "inbound ports not to capture, with --istio-inbound-ports '*'",
    "ISTIO_LOCAL_EXCLUDE_PORTS ISTIO_INBOUND_EXCLUDE_PORTS",
    "d",
  ),
  "istio-exclude-interfaces": setting(
    "string",
    "",
    "interfaces whose traffic is not captured, comma separated",
    "ISTIO_EXCLUDE_INTERFACES",
    "c",
  ),
  "istio-service-cidr": setting(
    "string",
    "",
    "outbound destinations to capture, ADDRESS/LENGTH, comma separated; * for all; empty for none",
    "ISTIO_SERVICE_CIDR",
    "i",
  ),
  "istio-service-exclude-cidr": setting(
    "string",
    "",
    "outbound destinations not to capture, ADDRESS/LENGTH, comma separated",
    "ISTIO_SERVICE_EXCLUDE_CIDR",
    "x",
  ),
  "istio-outbound-ports": setting(
    "string",
    "",
    "outbound ports to capture also outside of --istio-service-cidr, comma separated",
    "ISTIO_OUTBOUND_PORTS",
    "q",
  ),
  "istio-local-outbound-ports-exclude": setting(
    "string",
    "",
    "outbound ports not to capture, comma separated",
    "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE",
    "o",
  ),
  "kube-virt-interfaces": setting(
    "string",
    "",
    "interfaces of virtual machines, whose inbound traffic is outbound, comma separated",
    "KUBE_VIRT_INTERFACES",
    "k",
  ),
  "istio-inbound-tproxy-mark": setting(
    "string",
    "1337",
    "TPROXY: mark of packets that are delivered to Envoy",
    "ISTIO_INBOUND_TPROXY_MARK",
    "t",
  ),
  "istio-inbound-tproxy-route-table": setting(
    "int",
    "133",
    "TPROXY: number of the routing table for marked packets",
    "ISTIO_INBOUND_TPROXY_ROUTE_TABLE",
    "r",
  ),
  "dry-run": setting("bool", "false", "print what would be applied; the kernel is not changed", "DRY_RUN", "n"),
  explain: setting("bool", "false", "print in words what the rules do; the kernel is not changed", ""),
  "redirect-dns": setting(
    "bool",
    "false",
    "capture DNS queries to the servers of /etc/resolv.conf",
    "ISTIO_META_DNS_CAPTURE REDIRECT_DNS",
  ),
  "capture-all-dns": setting("bool", "false", "with --redirect-dns: queries to every server", "CAPTURE_ALL_DNS"),
  "drop-invalid": setting(
    "bool",
    "false",
    "drop inbound packets that connection tracking calls invalid",
    "INVALID_DROP DROP_INVALID",
  ),
  "dual-stack": setting(
    "bool",
    "",
    "capture IPv6 too, if there is an IPv6 address (the default); false: only if it is the first address",
    "ISTIO_DUAL_STACK DUAL_STACK",
  ),
  "native-nftables": setting("bool", "false", "use nft instead of iptables", "NATIVE_NFTABLES"),
  "force-iptables-binary": setting(
    "string",
    "",
    "variant of iptables: legacy or nft; if empty, the one that has our rules, else the first that works",
    "FORCE_IPTABLES_BINARY",
  ),
  "skip-rule-apply": setting("bool", "false", "apply nothing, for --run-validation", "SKIP_RULE_APPLY"),
  "run-validation": setting(
    "bool",
    "false",
    "test that connections are captured; exits with 126 if not",
    "RUN_VALIDATION",
  ),
  "iptables-probe-port": setting("int", "15002", "destination port of the test connection", "IPTABLES_PROBE_PORT"),
  "probe-timeout": setting("string", "5s", "timeout of the test", "PROBE_TIMEOUT"),
  reconcile: setting("bool", "false", "replace rules of other options", "RECONCILE"),
  "cleanup-only": setting("bool", "false", "remove all rules, routes and addresses, and apply none", "CLEANUP_ONLY"),
  "force-apply": setting("bool", "false", "apply again although nothing has changed", "FORCE_APPLY"),
  "network-namespace": setting("string", "", "path of the pod's network namespace, for locks", "NETWORK_NAMESPACE"),
  "cni-mode": setting("bool", "false", "run the programs as Istio's CNI plugin does", "CNI_MODE"),
} as const satisfies Readonly<Record<string, InterceptionSetting>>;

export type InterceptionSettingName = keyof typeof interceptionSettings;

/** For the command line and the help. */
export const interceptionFlags = { ...globalFlags, ...interceptionSettings };

/** Variables without a flag. */
export const interceptionVariables = {
  ISTIO_OUTBOUND_OWNER_GROUPS: {
    default: "*",
    meaning: "groups whose outbound traffic is captured, names or numbers, comma separated, at most 64; * for all",
  },
  ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: {
    default: "",
    meaning: "groups whose outbound traffic is not captured, if all others' is",
  },
  ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: {
    default: "127.0.0.1/32",
    meaning: "addresses that applications use for themselves: a part of 127.0.0.0/8",
  },
  ENVOY_USER: { default: "istio-proxy", meaning: "name of Envoy's user, if --proxy-uid is empty" },
  DNS_PROXY_ADDR: { default: "localhost:15053", meaning: "address of the DNS proxy; captured queries go to its port" },
  DRY_RUN_FILE_PATH: { default: "", meaning: "with --dry-run: file for the commands and the rules, replaced" },
} as const;

export type InterceptionVariableName = keyof typeof interceptionVariables;
