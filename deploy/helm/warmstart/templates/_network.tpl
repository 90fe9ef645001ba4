{{/* Who is who in a NetworkPolicy. Knows pods by their component; what lies outside the release is given in the values. */}}

{{- define "warmstart.network.peers" -}}
{{- range .peers }}
- podSelector: {{ include "warmstart.selector" (dict "root" $.root "component" .) }}
{{- end }}
{{- end }}

{{/* Egress of a component to what is not of this release: the gateway's database, the expander's external LLM and Redis, the
retriever's Milvus or object storage (with it STS, at the same port, and without an endpoint of its own the agent of EKS Pod Identity). */}}
{{- define "warmstart.network.outside" -}}
{{- $values := .root.Values }}
{{- if and (eq .component "gateway") $values.postgresql.existingSecret }}
- ports: [{port: {{ $values.postgresql.port }}, protocol: TCP}]
  {{- with $values.networkPolicy.postgresqlTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- else if and (eq .component "retriever") $values.milvus.existingSecret }}
- ports: [{port: {{ $values.milvus.port }}, protocol: TCP}]
  {{- with $values.networkPolicy.milvusTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- else if eq .component "expander" }}
{{- if eq $values.llm.profile "external" }}
- ports: [{port: {{ include "warmstart.network.port" $values.llm.url }}, protocol: TCP}]
  {{- with $values.networkPolicy.llmTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- if $values.redis.existingSecret }}
- ports: [{port: {{ $values.redis.port }}, protocol: TCP}]
  {{- with $values.networkPolicy.redisTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- else if include "warmstart.service.stores" . }}
- ports: [{port: {{ include "warmstart.network.port" ($values.objectStorage.endpointUrl | default "https://s3") }}, protocol: TCP}]
  {{- with $values.networkPolicy.objectStorageTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- if not $values.objectStorage.endpointUrl }}
- ports: [{port: 80, protocol: TCP}]
  to: [{ipBlock: {cidr: 169.254.170.23/32}}, {ipBlock: {cidr: "fd00:ec2::23/128"}}]
{{- end }}
{{- end }}
{{- end }}

{{/* The TCP port of a URL. */}}
{{- define "warmstart.network.port" -}}
{{- $url := urlParse . -}}
{{ regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}
