// Written by `make types`. Use database.ts, which completes it.

export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]

export type Database = {
  // Allows to automatically instantiate createClient with right options
  // instead of createClient<Database, { PostgrestVersion: 'XX' }>(URL, KEY)
  __InternalSupabase: {
    PostgrestVersion: "14"
  }
  api: {
    Tables: {
      [_ in never]: never
    }
    Views: {
      appointment_types: {
        Row: {
          capacity: number
          code: string
          currency: string
          duration_minutes: number
          id: string
          name: string
          price_cents: number
          requires_payment: boolean
          shape_id: string
          tenant_id: string
        }
        Insert: {
          capacity?: number | null
          code?: string | null
          currency?: string | null
          duration_minutes?: number | null
          id?: string | null
          name?: string | null
          price_cents?: number | null
          requires_payment?: boolean | null
          shape_id?: string | null
          tenant_id?: string | null
        }
        Update: {
          capacity?: number | null
          code?: string | null
          currency?: string | null
          duration_minutes?: number | null
          id?: string | null
          name?: string | null
          price_cents?: number | null
          requires_payment?: boolean | null
          shape_id?: string | null
          tenant_id?: string | null
        }
        Relationships: []
      }
      appointments: {
        Row: {
          appointment_type_id: string
          appointment_type_name: string | null
          buffer_after_minutes: number
          buffer_before_minutes: number
          cancel_reason: string | null
          cancelled_at: string | null
          created_at: string
          currency: string
          customer: NonNullable<Json>
          customer_id: string | null
          end_time: string
          id: string
          location_id: string
          location_name: string | null
          notes: string | null
          payment_due_at: string | null
          payment_status: string
          price_cents: number
          seat: number
          shape_id: string | null
          slot_id: string | null
          source: string
          staff_id: string
          staff_name: string | null
          start_time: string
          status: string
          tenant_id: string
          timezone: string | null
          updated_at: string
        }
        Insert: {
          appointment_type_id?: string | null
          appointment_type_name?: never
          buffer_after_minutes?: number | null
          buffer_before_minutes?: number | null
          cancel_reason?: string | null
          cancelled_at?: string | null
          created_at?: string | null
          currency?: string | null
          customer?: Json | null
          customer_id?: string | null
          end_time?: string | null
          id?: string | null
          location_id?: string | null
          location_name?: never
          notes?: string | null
          payment_due_at?: string | null
          payment_status?: string | null
          price_cents?: number | null
          seat?: number | null
          shape_id?: string | null
          slot_id?: string | null
          source?: string | null
          staff_id?: string | null
          staff_name?: never
          start_time?: string | null
          status?: string | null
          tenant_id?: string | null
          timezone?: never
          updated_at?: string | null
        }
        Update: {
          appointment_type_id?: string | null
          appointment_type_name?: never
          buffer_after_minutes?: number | null
          buffer_before_minutes?: number | null
          cancel_reason?: string | null
          cancelled_at?: string | null
          created_at?: string | null
          currency?: string | null
          customer?: Json | null
          customer_id?: string | null
          end_time?: string | null
          id?: string | null
          location_id?: string | null
          location_name?: never
          notes?: string | null
          payment_due_at?: string | null
          payment_status?: string | null
          price_cents?: number | null
          seat?: number | null
          shape_id?: string | null
          slot_id?: string | null
          source?: string | null
          staff_id?: string | null
          staff_name?: never
          start_time?: string | null
          status?: string | null
          tenant_id?: string | null
          timezone?: never
          updated_at?: string | null
        }
        Relationships: []
      }
      availability_slots: {
        Row: {
          duration_minutes: number
          end_time: string
          id: string
          is_available: boolean
          location_id: string
          seats_left: number
          shape_id: string
          staff_id: string
          start_time: string
          tenant_id: string
        }
        Insert: {
          duration_minutes?: number | null
          end_time?: string | null
          id?: string | null
          is_available?: boolean | null
          location_id?: string | null
          seats_left?: never
          shape_id?: string | null
          staff_id?: string | null
          start_time?: string | null
          tenant_id?: string | null
        }
        Update: {
          duration_minutes?: number | null
          end_time?: string | null
          id?: string | null
          is_available?: boolean | null
          location_id?: string | null
          seats_left?: never
          shape_id?: string | null
          staff_id?: string | null
          start_time?: string | null
          tenant_id?: string | null
        }
        Relationships: []
      }
      booking_funnel: {
        Row: {
          appointment_type_id: string | null
          bookings: number | null
          date: string | null
          holds: number | null
          kept: number | null
          searches: number | null
          searches_without_result: number | null
          seconds_to_book: number | null
          staff_id: string | null
          tenant_id: string | null
          timed_bookings: number | null
        }
        Relationships: []
      }
      breaks: {
        Row: {
          created_at: string
          end_time: string
          id: string
          location_id: string | null
          location_name: string | null
          staff_id: string | null
          staff_name: string | null
          start_time: string
          tenant_id: string
          updated_at: string
          valid_from: string | null
          valid_until: string | null
          weekday: number | null
        }
        Insert: {
          created_at?: string | null
          end_time?: string | null
          id?: string | null
          location_id?: string | null
          location_name?: never
          staff_id?: string | null
          staff_name?: never
          start_time?: string | null
          tenant_id?: string | null
          updated_at?: string | null
          valid_from?: string | null
          valid_until?: string | null
          weekday?: number | null
        }
        Update: {
          created_at?: string | null
          end_time?: string | null
          id?: string | null
          location_id?: string | null
          location_name?: never
          staff_id?: string | null
          staff_name?: never
          start_time?: string | null
          tenant_id?: string | null
          updated_at?: string | null
          valid_from?: string | null
          valid_until?: string | null
          weekday?: number | null
        }
        Relationships: []
      }
      busy_times: {
        Row: {
          created_at: string
          end_time: string
          external_id: string | null
          id: string
          source: string
          staff_id: string
          staff_name: string | null
          start_time: string
          tenant_id: string
          updated_at: string
        }
        Insert: {
          created_at?: string | null
          end_time?: string | null
          external_id?: string | null
          id?: string | null
          source?: string | null
          staff_id?: string | null
          staff_name?: never
          start_time?: string | null
          tenant_id?: string | null
          updated_at?: string | null
        }
        Update: {
          created_at?: string | null
          end_time?: string | null
          external_id?: string | null
          id?: string | null
          source?: string | null
          staff_id?: string | null
          staff_name?: never
          start_time?: string | null
          tenant_id?: string | null
          updated_at?: string | null
        }
        Relationships: []
      }
      cancellations: {
        Row: {
          appointment_type_id: string | null
          appointments: number | null
          average_notice_hours: number | null
          cancellation_percent: number | null
          cancelled: number | null
          cancelled_late: number | null
          date: string | null
          no_show_percent: number | null
          no_shows: number | null
          notice_minutes: number | null
          staff_id: string | null
          tenant_id: string | null
        }
        Relationships: []
      }
      hold_refusals: {
        Row: {
          appointment_type_id: string | null
          code: string | null
          date: string | null
          refusals: number | null
          staff_id: string | null
          tenant_id: string | null
        }
        Relationships: []
      }
      lead_times: {
        Row: {
          appointment_type_id: string | null
          appointments: number | null
          average_lead_hours: number | null
          date: string | null
          days_1_to_6: number | null
          days_30_or_more: number | null
          days_7_to_29: number | null
          same_day: number | null
          staff_id: string | null
          tenant_id: string | null
        }
        Relationships: []
      }
      locations: {
        Row: {
          id: string
          name: string
          tenant_id: string
          timezone: string
        }
        Insert: {
          id?: string | null
          name?: string | null
          tenant_id?: string | null
          timezone?: never
        }
        Update: {
          id?: string | null
          name?: string | null
          tenant_id?: string | null
          timezone?: never
        }
        Relationships: []
      }
      peak_demand: {
        Row: {
          bookings: number | null
          date: string | null
          holds: number | null
          hour: number | null
          refused_holds: number | null
          searches: number | null
          searches_without_result: number | null
          tenant_id: string | null
          weekday: number | null
        }
        Relationships: []
      }
      popular_slots: {
        Row: {
          booked: number | null
          date: string | null
          held: number | null
          hour: number | null
          location_id: string | null
          offered: number | null
          tenant_id: string | null
          weekday: number | null
        }
        Relationships: []
      }
      schedule_exceptions: {
        Row: {
          created_at: string
          end_time: string | null
          first_date: string
          id: string
          kind: string
          last_date: string
          location_id: string | null
          location_name: string | null
          note: string | null
          staff_id: string | null
          staff_name: string | null
          start_time: string | null
          tenant_id: string
          updated_at: string
        }
        Insert: {
          created_at?: string | null
          end_time?: string | null
          first_date?: string | null
          id?: string | null
          kind?: string | null
          last_date?: string | null
          location_id?: string | null
          location_name?: never
          note?: string | null
          staff_id?: string | null
          staff_name?: never
          start_time?: string | null
          tenant_id?: string | null
          updated_at?: string | null
        }
        Update: {
          created_at?: string | null
          end_time?: string | null
          first_date?: string | null
          id?: string | null
          kind?: string | null
          last_date?: string | null
          location_id?: string | null
          location_name?: never
          note?: string | null
          staff_id?: string | null
          staff_name?: never
          start_time?: string | null
          tenant_id?: string | null
          updated_at?: string | null
        }
        Relationships: []
      }
      staff: {
        Row: {
          display_name: string
          id: string
          tenant_id: string
        }
        Insert: {
          display_name?: string | null
          id?: string | null
          tenant_id?: string | null
        }
        Update: {
          display_name?: string | null
          id?: string | null
          tenant_id?: string | null
        }
        Relationships: []
      }
      staff_appointment_types: {
        Row: {
          appointment_type_id: string
          staff_id: string
          tenant_id: string
        }
        Insert: {
          appointment_type_id?: string | null
          staff_id?: string | null
          tenant_id?: string | null
        }
        Update: {
          appointment_type_id?: string | null
          staff_id?: string | null
          tenant_id?: string | null
        }
        Relationships: []
      }
      staff_utilisation: {
        Row: {
          booked_minutes: number | null
          buffer_minutes: number | null
          staff_id: string | null
          staff_name: string | null
          tenant_id: string | null
          travel_minutes: number | null
          utilisation_percent: number | null
          week: string | null
          working_minutes: number | null
        }
        Relationships: []
      }
      working_hours: {
        Row: {
          created_at: string
          end_time: string
          id: string
          location_id: string
          location_name: string | null
          staff_id: string
          staff_name: string | null
          start_time: string
          tenant_id: string
          updated_at: string
          valid_from: string | null
          valid_until: string | null
          weekday: number
        }
        Insert: {
          created_at?: string | null
          end_time?: string | null
          id?: string | null
          location_id?: string | null
          location_name?: never
          staff_id?: string | null
          staff_name?: never
          start_time?: string | null
          tenant_id?: string | null
          updated_at?: string | null
          valid_from?: string | null
          valid_until?: string | null
          weekday?: number | null
        }
        Update: {
          created_at?: string | null
          end_time?: string | null
          id?: string | null
          location_id?: string | null
          location_name?: never
          staff_id?: string | null
          staff_name?: never
          start_time?: string | null
          tenant_id?: string | null
          updated_at?: string | null
          valid_from?: string | null
          valid_until?: string | null
          weekday?: number | null
        }
        Relationships: []
      }
    }
    Functions: {
      cancel_appointment: {
        Args: {
          appointment_id: string
          manage_token?: string
          reason?: string
          tenant_id?: string
        }
        Returns: Json
      }
      create_appointment: {
        Args: {
          appointment_type: string
          idempotency_key?: string
          notes?: string
          session_id?: string
          slot_id: string
          tenant_id?: string
          user_data: Json
        }
        Returns: Json
      }
      explain_availability: {
        Args: {
          appointment_type?: string
          at: string
          staff_id: string
          tenant_id: string
        }
        Returns: Json
      }
      get_available_slots: {
        Args: {
          appointment_type?: string
          duration_minutes?: number
          end_date: string
          location_id?: string
          max_results?: number
          page_token?: string
          staff_id?: string
          start_date: string
          tenant_id: string
        }
        Returns: Json
      }
      get_available_times: {
        Args: {
          appointment_type: string
          end_date: string
          location_id?: string
          start_date: string
          tenant_id: string
        }
        Returns: Json
      }
      get_next_available: {
        Args: {
          appointment_type?: string
          duration_minutes?: number
          from_time?: string
          location_id?: string
          max_results?: number
          staff_id?: string
          tenant_id: string
        }
        Returns: Json
      }
      get_reservations: { Args: { session_id: string }; Returns: Json }
      get_tenant: { Args: { slug: string }; Returns: Json }
      pre_request: { Args: Record<PropertyKey, never>; Returns: undefined }
      recalculate_availability: {
        Args: {
          end_date: string
          staff_id?: string
          start_date: string
          tenant_id: string
        }
        Returns: Json
      }
      record_payment: {
        Args: {
          appointment_id: string
          payment_reference: string
          payment_status: string
          tenant_id?: string
        }
        Returns: Json
      }
      release_slot: {
        Args: { session_id: string; slot_id: string; tenant_id?: string }
        Returns: Json
      }
      reschedule_appointment: {
        Args: {
          appointment_id: string
          location_id?: string
          manage_token?: string
          session_id?: string
          slot_id: string
          staff_id?: string
          start_time?: string
          tenant_id?: string
        }
        Returns: Json
      }
      reserve_slot: {
        Args: {
          appointment_type?: string
          location_id?: string
          session_id: string
          slot_id: string
          staff_id?: string
          start_time?: string
          tenant_id?: string
        }
        Returns: Json
      }
      reserve_time: {
        Args: {
          appointment_type: string
          location_id?: string
          session_id: string
          start_time: string
          tenant_id: string
        }
        Returns: Json
      }
      set_working_hours: {
        Args: {
          copy_to_staff_ids?: string[]
          hours: Json
          staff_id: string
          tenant_id: string
          valid_from?: string
        }
        Returns: Json
      }
    }
    Enums: {
      [_ in never]: never
    }
    CompositeTypes: {
      [_ in never]: never
    }
  }
}

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "api">]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] &
        DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] &
        DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
        Row: infer R
      }
      ? R
      : never
    : never

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Insert: infer I
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Insert: infer I
      }
      ? I
      : never
    : never

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Update: infer U
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Update: infer U
      }
      ? U
      : never
    : never

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends (DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never) = never,
> = DefaultSchemaEnumNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
    : never

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends (PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never) = never,
> = PublicCompositeTypeNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
    : never

export const Constants = {
  api: {
    Enums: {},
  },
} as const
