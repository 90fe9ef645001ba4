{{/* Which components run an image of ours as a server. A read replica of the retriever is a component of its own with the retriever's image. */}}

{{/* "yes" where read replicas are asked for. */}}
{{- define "warmstart.readers" -}}
{{- with .Values.services.retriever.readers }}{{ if or (gt (int .replicas) 0) .autoscaling.enabled }}yes{{ end }}{{ end -}}
{{- end }}

{{/* Those that may have several pods, and all of them; for splitList. */}}
{{- define "warmstart.stateless" -}}
gateway encoder expander{{ if include "warmstart.readers" . }} retriever-reader{{ end }}
{{- end }}

{{- define "warmstart.services" -}}
{{ include "warmstart.stateless" . }} retriever
{{- end }}

{{/* The service whose image and settings a component has. */}}
{{- define "warmstart.service.of" -}}
{{ trimSuffix "-reader" .component }}
{{- end }}

{{/* Values of a component, as JSON; a read replica has the retriever's settings but for what a writer alone does. */}}
{{- define "warmstart.service.own" -}}
{{- if eq .component "retriever-reader" }}
{{- $writer := .root.Values.services.retriever }}
{{- $settings := merge (dict "follow_url" $writer.settings.publish_url) (omit $writer.settings "publish_url" "snapshot_after" "snapshots_kept") }}
{{- merge (dict "settings" $settings) $writer.readers | toJson }}
{{- else }}
{{- get .root.Values.services .component | toJson }}
{{- end }}
{{- end }}

{{/* "yes" for who takes from, or puts into, object storage. */}}
{{- define "warmstart.service.stores" -}}
{{- if eq (include "warmstart.service.of" .) "retriever" }}{{ if contains "://" (.root.Values.services.retriever.settings.publish_url | default "") }}yes{{ end }}{{ end -}}
{{- end }}
