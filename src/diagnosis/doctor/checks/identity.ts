// SPDX-License-Identifier: Apache-2.0
import { type Check, fail, ok } from "../check.ts";

const name = "identity";

/** The parts of the name that a certificate is requested for. */
export const identityCheck: Check = {
  name,
  needsEnvironment: true,
  run({ config: { identity, cert } }) {
    if (identity.kind !== "ca") return Promise.resolve([]);
    const { namespace, serviceAccount, trustDomain } = cert.identity;
    const parts = [
      ["POD_NAMESPACE", namespace],
      ["SERVICE_ACCOUNT", serviceAccount],
      ["TRUST_DOMAIN", trustDomain],
    ] as const;
    const missing = parts.filter(([, value]) => value === "").map(([variable]) => variable);
    if (missing.length === 0) {
      return Promise.resolve([ok(name, `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`)]);
    }
    const names = missing.join(" and ");
    const fact = `${names} ${missing.length === 1 ? "has" : "have"} no value, so no certificate is requested`;
    const cure = `Set ${names}: in a pod by the downward API (metadata.namespace, spec.serviceAccountName), on a machine in its environment file.`;
    return Promise.resolve([fail(name, fact, cure)]);
  },
};
