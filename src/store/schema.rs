//! The tables as Diesel sees them, the same for both databases.
//!
//! On PostgreSQL the times are `timestamptz`; every transaction's time zone is UTC, so that they read and write as
//! `Timestamp`.

diesel::table! {
    tenants (id) {
        id -> Text,
        key -> Text,
        name -> Text,
        domain -> Text,
        instance -> Text,
        enabled -> Bool,
        session_timeout_minutes -> Integer,
        max_users -> Nullable<Integer>,
        protected -> Bool,
        pbx_settings_json -> Text,
        cross_tenant_json -> Text,
        drift -> Text,
        domain_id -> Text,
        provisioned -> Bool,
        disabled_at -> Nullable<Timestamp>,
        disable_confirmed_at -> Nullable<Timestamp>,
        deletable_from -> Nullable<Timestamp>,
        file_removed_at -> Nullable<Timestamp>,
        web_sign_in_block_json -> Nullable<Text>,
        web_sign_in_left_open -> Bool,
        settings_checked_at -> Nullable<Timestamp>,
        applied_definition_hash -> Nullable<Text>,
        corrections_json -> Text,
        revision -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        restored_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    pbx_instances (key) {
        key -> Text,
        url -> Text,
        identity -> Nullable<Text>,
        enrolled_at -> Timestamp,
        last_seen_at -> Nullable<Timestamp>,
        last_problem -> Nullable<Text>,
        last_problem_at -> Nullable<Timestamp>,
        version -> Nullable<Text>,
    }
}

diesel::table! {
    previous_placements (instance, domain_id) {
        tenant_id -> Text,
        instance -> Text,
        domain_id -> Text,
        domain -> Text,
        web_sign_in_block_json -> Nullable<Text>,
        left_at -> Timestamp,
        disable_confirmed_at -> Nullable<Timestamp>,
        deletable_from -> Nullable<Timestamp>,
    }
}

diesel::table! {
    tombstones (tenant_id) {
        tenant_id -> Text,
        key -> Text,
        name -> Text,
        domain -> Text,
        instance -> Text,
        domain_id -> Text,
        disabled_at -> Nullable<Timestamp>,
        deleted_at -> Timestamp,
        archive -> Nullable<Text>,
        archive_sha256 -> Nullable<Text>,
    }
}

diesel::table! {
    audit_log (id) {
        id -> BigInt,
        at -> Timestamp,
        actor -> Text,
        event -> Text,
        tenant_id -> Nullable<Text>,
        tenant_key -> Text,
        instance -> Nullable<Text>,
        plan_id -> Nullable<Text>,
        before_json -> Nullable<Text>,
        after_json -> Nullable<Text>,
        result -> Text,
        detail -> Nullable<Text>,
    }
}

diesel::table! {
    journal (id) {
        id -> Text,
        plan_id -> Text,
        tenant_id -> Text,
        tenant_key -> Text,
        instance -> Text,
        action -> Text,
        request -> Text,
        opened_at -> Timestamp,
        closed_at -> Nullable<Timestamp>,
        outcome -> Nullable<Text>,
    }
}

diesel::table! {
    removals (id) {
        id -> BigInt,
        tenant_id -> Text,
        kind -> Text,
        instance -> Text,
        at -> Timestamp,
    }
}

diesel::table! {
    approvals (id) {
        id -> Text,
        removals_id -> Nullable<Text>,
        tenant_key -> Nullable<Text>,
        approved_by -> Text,
        approved_at -> Timestamp,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    pauses (id) {
        id -> Text,
        tenant_key -> Nullable<Text>,
        instance -> Nullable<Text>,
        until -> Timestamp,
        reason -> Text,
        paused_by -> Text,
        paused_at -> Timestamp,
    }
}

diesel::table! {
    writer_lease (id) {
        id -> Integer,
        epoch -> BigInt,
        holder -> Text,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    facts (name) {
        name -> Text,
        value -> Text,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    tenant_conditions (tenant_key) {
        tenant_key -> Text,
        condition -> Text,
        reason -> Nullable<Text>,
        lifted_by -> Nullable<Text>,
        until -> Nullable<Timestamp>,
        since -> Timestamp,
    }
}

diesel::table! {
    heartbeats (holder) {
        holder -> Text,
        state -> Text,
        interval_seconds -> BigInt,
        seen_at -> Timestamp,
        pass_started_at -> Nullable<Timestamp>,
        pass_ended_at -> Nullable<Timestamp>,
        pass_result -> Nullable<Text>,
        next_pass_at -> Nullable<Timestamp>,
        last_error -> Nullable<Text>,
        last_error_at -> Nullable<Timestamp>,
        configuration_error -> Nullable<Text>,
        configuration_error_at -> Nullable<Timestamp>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(tenants, previous_placements, tombstones);
