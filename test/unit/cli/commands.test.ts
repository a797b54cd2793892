// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { runCli } from "../../../src/cli/cli.ts";
import { commandTable } from "../../../src/cli/command-table.ts";

async function run(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  let out = "";
  let errors = "";
  const never = new AbortController().signal;
  const code = await runCli({
    argv,
    env,
    print: (text) => {
      out += String(text);
    },
    printError: (text) => {
      errors += text;
    },
    stop: never,
    force: never,
    fault: () => undefined,
    onFault: () => undefined,
    onHangup: () => undefined,
    onReopenLogs: () => undefined,
    onRenew: () => undefined,
  });
  return { code, out, errors };
}

test("--version prints the version", async () => {
  const { code, out } = await run(["--version"]);
  expect(code).toBe(0);
  expect(out).toMatch(/^attache {4}\S+ \(revision \S+\)\nEnvoy {6}.+\nNode\.js {4}\d/);
});

test("an error with the text of a peer cannot control the terminal", async () => {
  const { errors } = await run(["status", "--address", "http://x\u202e\u001b[31m"]);
  expect(errors).toMatch(/^Error: [^\p{Cc}\p{Bidi_Control}]+\n$/v);
});

test.each(["proxy", "explain"])(
  "%s prints warnings of unknown names before the errors that they may be the reason of",
  async (name) => {
    const env = { ATTACHE_XDS_FILE: "/x", ECC_SIGNATURE_ALGORITHM: "x" };
    const { errors } = await run([name], env);
    const meant = "configuration: ATTACHE_XDS_FILE: unknown variable; it is ignored (did you mean ATTACHE_XDS_FILES?)";
    expect(errors.split("\n")[0]).toBe(`Warning: ${meant}`);
    expect(errors.slice(errors.indexOf("Error: "))).not.toContain("Warning: ");
    const json = (await run([name, "--log_as_json"], env)).errors.split("\n");
    expect(JSON.parse(json[0] ?? "")).toMatchObject({ level: "warn", msg: meant });
    expect(JSON.parse(json.at(-2) ?? "")).toMatchObject({ level: "error", exitCode: 64 });
  },
);

test("under the name pilot-agent the version has the form that its callers know", async () => {
  const { out } = await run(["version"], { ATTACHE_PROGRAM_NAME: "pilot-agent" });
  expect(out).toMatch(/^client version: version\.BuildInfo\{Version:"[^"]*", GitRevision:"[^"]*"[^\n]*\}\n$/);
});

test("the help of every command has two examples and its exit codes", async () => {
  for (const [name, { examples, exitCodes }] of await commandTable.readAll()) {
    const { out } = await run(["help", name]);
    expect(examples.length, name).toBeGreaterThanOrEqual(2);
    for (const { line, meaning } of examples) expect(out).toContain(`  # ${meaning}\n  ${line}\n`);
    expect(exitCodes.length, name).toBeGreaterThan(0);
    expect(out).toMatch(/Exit codes:\n(.+\n)+$/);
  }
});

test("explain shows what it knows of a wrong configuration, with each problem at its setting", async () => {
  const env = { CA_ROOT_CA: "SYSTEM", XDS_ROOT_CA: "SYSTEM", ECC_SIGNATURE_ALGORITHM: "x", POD_NAME: "web-1" };
  const { code, out, errors } = await run(["explain", "--json"], env);
  expect([code, errors.split("\n").length]).toEqual([64, 2]);
  const { problems, settings, node } = JSON.parse(out) as Record<"problems" | "settings" | "node", object[]>;
  expect(problems).toEqual([
    { source: "ECC_SIGNATURE_ALGORITHM", message: expect.stringContaining("unknown") as string },
  ]);
  expect(settings).toContainEqual(
    expect.objectContaining({ name: "ECC_SIGNATURE_ALGORITHM", problem: expect.stringContaining("unknown") as string }),
  );
  expect(node).toMatchObject({ id: expect.stringContaining("web-1") as string });
  expect((await run(["explain"], env)).out).toMatch(/^Problems:\n {2}ECC_SIGNATURE_ALGORITHM: unknown/);
});

test("version has its short form and two documents", async () => {
  expect((await run(["version", "-s"])).out).toMatch(/^client version: \S+\n$/);
  expect(
    Object.keys((JSON.parse((await run(["version", "-o", "json"])).out) as { clientVersion: object }).clientVersion),
  ).toEqual(["version", "revision", "golang_version", "status", "tag"]);
  expect((await run(["version", "-o", "yaml"])).out).toMatch(/^clientVersion:\n {2}version: /);
  expect(await run(["version", "-o", "xml"])).toMatchObject({
    code: 64,
    errors: expect.stringContaining('"xml" is not one of text, json, yaml') as string,
  });
});

test("a command that does not exist is told with the nearest one", async () => {
  const { code, errors } = await run(["prxoy"]);
  expect(code).toBe(64);
  expect(errors).toContain('unknown command "prxoy" for "attache" (did you mean proxy?)');
  expect((await run(["help", "prxoy"])).code).toBe(64);
});

test.each([
  ["as a command", ["istio-iptables"], {}],
  ["as the name of the program", [], { ATTACHE_PROGRAM_NAME: "istio-iptables" }],
])("istio-iptables %s prints the rules of a dry run", async (_how, words, env) => {
  const { code, out } = await run([...words, "-u", "1337", "-b", "*", "-i*", "--dry-run"], env);
  expect([code, out]).toEqual([0, expect.stringContaining("-A PREROUTING -p tcp -j ISTIO_INBOUND\n") as string]);
});

test("the help of istio-iptables says that its flags have variables", async () => {
  expect((await run(["istio-iptables", "--help"])).out).toContain("REDIRECT_DNS for --redirect-dns");
});

test("istio-iptables reports every invalid option before it does anything", async () => {
  const { code, out, errors } = await run(["istio-iptables", "-p", "0", "-b", "http", "-i", "10.0.0.1"]);
  expect([code, out, errors.split("\n").length]).toEqual([64, "", 4]);
});

test.each(["bash", "zsh", "fish", "powershell"])("completion for %s names commands and flags", async (shell) => {
  const { code, out } = await run(["completion", shell]);
  expect(code).toBe(0);
  expect(out).toContain("proxyLogLevel");
  expect(out).toContain("request");
});

test("completion without a shell is help, for an unknown shell a usage error", async () => {
  expect(await run(["completion"])).toMatchObject({ code: 0, out: expect.stringContaining("Usage:") as string });
  expect(await run(["completion", "tcsh"])).toMatchObject({ code: 64, out: "" });
});

test.each([
  [["request", "GET"], "needs a method and a path"],
  [
    ["request", "--debug-port=1234", "GET", "stats"],
    "debug port 1234 is not in allowed list [15000 15004 15020 15021]",
  ],
  [["request", "--nope", "GET", "stats"], "unknown flag --nope"],
  [["wait", "--url", "nowhere"], '--url: "nowhere" is not a URL'],
])("%j is refused", async (argv, message) => {
  const { code, errors } = await run(argv);
  expect(code).toBe(64);
  expect(errors).toContain(message);
});

test("explain shows settings with their source, and no secret", async () => {
  const env = {
    CA_ROOT_CA: "SYSTEM",
    XDS_ROOT_CA: "SYSTEM",
    POD_NAME: "web-1",
    CA_HEADER_TOKEN: "geheim",
    ATTACHE_STEP_URL: "https://user:geheim@step.example",
    ISTIO_META_API_TOKEN: "geheim",
  };
  const { code, out } = await run(["explain", "router", "--json"], env);
  expect(code).toBe(0);
  const { role, settings } = JSON.parse(out) as { role: string; settings: object[] };
  expect(role).toBe("router");
  expect(settings).toContainEqual({ kind: "variable", name: "POD_NAME", value: "web-1", source: "environment" });
  expect(settings).toContainEqual({
    kind: "variable",
    name: "CA_HEADER_TOKEN",
    value: "[redacted]",
    source: "environment",
  });
  expect(out).not.toContain("geheim");
});

test("each thing that is wrong with a configuration has a line of its own", async () => {
  const { code, errors } = await run(["explain", "gateway"], {
    CA_ROOT_CA: "SYSTEM",
    XDS_ROOT_CA: "SYSTEM",
    ECC_SIGNATURE_ALGORITHM: "x",
  });
  expect(code).toBe(64);
  expect(errors.trimEnd().split("\n")).toEqual([
    expect.stringMatching(/^Error: configuration: role: invalid proxy type: gateway/),
    expect.stringMatching(/^Error: configuration: ECC_SIGNATURE_ALGORITHM: unknown algorithm "x"/),
  ]);
});

test("flags of every command may stand before the command", async () => {
  const { out } = await run(["--log_output_level", "default:debug", "--log_as_json", "version", "-s"]);
  expect(out).toMatch(/^client version: \S+\n$/);
  expect((await run(["--anything", "version"])).out).toMatch(/Usage:/);
  expect((await run(["--log_as_json"])).out).toMatch(/Usage:/);
});

test.each([
  [["config", "clusters", "--direction", "outbund"], '--direction: "outbund" is not one of inbound, outbound'],
  [["doctor", "--adress", "15020"], "unknown flag --adress (did you mean --address?)"],
  [["completion", "--lookup", "cluster"], '--lookup: "cluster" is not one of clusters (did you mean clusters?)'],
])("%j is told with what is known", async (argv, message) => {
  const { code, errors } = await run(argv);
  expect([code, errors]).toEqual([64, expect.stringContaining(message) as string]);
});

test("a command's own flags are in front of those of every command", async () => {
  expect((await run(["help", "wait"])).out).toMatch(/Flags:\n {6}--url [^]*\nGlobal flags:\n {6}--log_output_level/);
});
