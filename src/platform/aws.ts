// SPDX-License-Identifier: Apache-2.0
import { type MetadataGet, type PlatformFacts, knownFacts } from "./platform-facts.ts";

/**
 * The facts of an EC2 machine; undefined elsewhere. With a session token where the server gives one.
 * Source: EC2's instance metadata service, versions 1 and 2
 */
export async function readAws(get: MetadataGet): Promise<PlatformFacts | undefined> {
  const token = await get("/latest/api/token", {
    method: "PUT",
    headers: { "x-aws-ec2-metadata-token-ttl-seconds": "60" },
  });
  const headers = token === undefined ? {} : { "x-aws-ec2-metadata-token": token };
  const read = (path: string): Promise<string | undefined> => get(`/latest/meta-data/${path}`, { headers });
  const [region = "", zone = "", instanceId = ""] = await Promise.all([
    read("placement/region"),
    read("placement/availability-zone"),
    read("instance-id"),
  ]);
  if (region === "" && zone === "") return undefined;
  return {
    metadata: knownFacts({ aws_region: region, aws_availability_zone: zone, aws_instance_id: instanceId }),
    locality: { region, zone, subZone: "" },
  };
}
