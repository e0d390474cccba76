// This Swagger UI knows OpenAPI 3.0. Ours is 3.1: shown under the older number, and `const` as the `enum` of one value.
const asOlder = (_, value) => (value && value.const !== undefined ? { ...value, enum: [value.const] } : value);

const answer = fetch("openapi.json").then((response) => response.text());
answer.then((text) =>
  SwaggerUIBundle({
    spec: { ...JSON.parse(text, asOlder), openapi: "3.0.3" },
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null, // the default asks another server
    defaultModelsExpandDepth: 0,
    docExpansion: "list",
  }),
);
