// SPDX-License-Identifier: Apache-2.0

/**
 * What the parser for YAML says, and where, without the part of the text that it shows after its first line: that may be
 * a secret. For the same reason its error must not become a cause.
 */
export function yamlProblem({ message }: Error): string {
  return message.split("\n", 1)[0]?.replace(/:$/, "") ?? "";
}
